//! The workload: seven types, bodies near 566 bytes, one million people, ten per cent of events from people never seen
//! before, shuffled by a seeded stream. Built as text, because a client builds text.

/// SplitMix64: a repeatable stream.
pub struct Stream(pub u64);

impl Stream {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

/// Which people an event may be about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum People {
    /// Ten per cent first-seen, the rest drawn from those seen, up to a million.
    Mixed,
    /// Everybody is new: an import.
    New,
}

/// Makes events. `lane` keeps two generators of one run apart.
pub struct Workload {
    stream: Stream,
    people: People,
    lane: u64,
    seen: u64,
    serial: u64,
    time: String,
}

/// Connections that load a ledger: each shows people of its own.
pub const LOADERS: u64 = 8;
const PEOPLE_MAX: u64 = 1_000_000 / LOADERS;

impl Workload {
    /// A generator whose serials begin at `first_serial`; the stream depends on both, so phases differ.
    pub fn new(lane: u64, people: People, first_serial: u64, time: String) -> Workload {
        let stream = Stream(lane.wrapping_mul(77) ^ first_serial.wrapping_mul(0x2545_F491));
        Workload { stream, people, lane, seen: 1, serial: first_serial, time }
    }

    /// People whom this generator has shown so far, for a second phase that goes on with them.
    pub fn people_seen(&mut self, seen: u64) {
        self.seen = seen.max(1);
    }

    /// How many people it has shown.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    fn person(&mut self) -> u64 {
        let new = match self.people {
            People::New => true,
            People::Mixed => self.stream.below(10) == 0 && self.seen < PEOPLE_MAX,
        };
        if new && self.people == People::New {
            // Beyond everybody the mixed rows know.
            self.serial + (1 << 32)
        } else if new {
            self.seen += 1;
            self.seen - 1
        } else {
            self.stream.below(self.seen)
        }
    }

    /// The number of somebody whom the loaders have shown, as far as they have shown people.
    fn known_phone(&mut self) -> String {
        let person = self.stream.below(self.seen) * 64 + self.stream.below(LOADERS);
        format!("+1{:03}555{:04}", 201 + person / 10_000 % 799, person % 10_000)
    }

    /// Appends a question who gets the lead of somebody known to `out`.
    pub fn route(&mut self, out: &mut String) {
        use std::fmt::Write;
        let phone = self.known_phone();
        let _ = write!(out, r#"{{"recipient":{{"phone":"{phone}"}},"lead":{{"state":"OH","band":"B"}}}}"#);
    }

    /// Appends a question whether somebody known may be contacted to `out`.
    pub fn question(&mut self, out: &mut String) {
        use std::fmt::Write;
        let phone = self.known_phone();
        let (channel, technology) = [("voice", "manual"), ("voice", "ai_voice"), ("sms", "autodialed")]
            [usize::try_from(self.stream.below(3)).unwrap_or(0)];
        let _ = write!(
            out,
            r#"{{"recipient":{{"phone":"{phone}","line_type":"mobile"}},"contact":{{"channel":"{channel}","technology":"{technology}","purpose":"marketing","seller":"broker-a","topic":"listing-offer"}}}}"#
        );
    }

    /// Appends one event to `out`.
    pub fn event(&mut self, out: &mut String) {
        use std::fmt::Write;
        let person = self.person() * 64 + self.lane;
        self.serial += 1;
        let serial = self.serial * 64 + self.lane;
        // New people come with an address only: there are not enough numbers that are reserved for examples.
        let who = match self.people {
            People::Mixed => format!(r#""phone":"+1{:03}555{:04}""#, 201 + person / 10_000 % 799, person % 10_000),
            People::New => format!(r#""email":"p{person}@example.com""#),
        };
        let (event_type, data) = match self.stream.below(7) {
            0 => (
                "consent.granted",
                format!(
                    r#""kind":"pewc",{who},"sellers":["broker-a"],"channels":["voice","sms"],"technologies":["manual","automated"],"purposes":["marketing"],"disclosure":{{"authorizes_automated":true,"not_condition_of_purchase":true}},"signature":"checkbox_and_submit","evidence":{{"text":"I agree that Broker A may call and text me.","page_url":"https://example.com/quote"}}"#
                ),
            ),
            1 => (
                "contact.attempted",
                format!(
                    r#""channel":"voice","technology":"manual","purpose":"marketing","seller":"broker-b","topic":"listing-offer","call":"CA-{serial}","campaign":"fall-owners","agent":"agent-7","script":"intro-4","attestation":"A",{who},"from":"+18005550100","caller_name":"Example Realty desk""#
                ),
            ),
            2 => (
                "contact.message_sent",
                format!(
                    r#""channel":"sms","segments":1,"encoding":"gsm7","seller":"broker-a","campaign":"fall-owners","vendor":"signalwire","step":2,"template":"follow-up-2","message":"SM-{serial}",{who},"from":"+16145550100","body":"Hi Pat, about your quote. Is tomorrow good?""#
                ),
            ),
            3 => (
                "lead.received",
                format!(
                    r#""lead":"lead-{person}","campaign":"fall-owners","channel":"paid_search","source":"quote-form","vendor":"pub-12","kind":"form","state":"OH",{who},"name":"Pat Example","ip":"192.0.2.44""#
                ),
            ),
            4 => (
                "score.assigned",
                format!(
                    r#""model":"owner-fit","model_version":"3.2","score":71,"band":"B","probability":"0.184","outcome":"sale","champion":true,"reasons":[{{"rule":"replied-48h","points":30}},{{"rule":"equity-high","points":25}}],"campaign":"fall-owners",{who}"#
                ),
            ),
            5 => (
                "revenue.recorded",
                format!(
                    r#""sale":"S-{serial}","kind":"lead_sale","amount":{{"amount":"45.00","currency":"USD"}},"campaign":"fall-owners","channel":"paid_search","source":"quote-form","seller":"broker-a","vendor":"pub-12","lead":"lead-{person}","price_rule":"broker-a-base","note":"sold by the evening desk""#
                ),
            ),
            _ => (
                "contact.received",
                format!(
                    r#""channel":"sms","segments":1,"seller":"broker-a","campaign":"fall-owners","vendor":"signalwire","message":"SM-{serial}",{who},"to":"+16145550100","body":"Yes, call me tomorrow after 10 please, I am at home then""#
                ),
            ),
        };
        let _ = write!(
            out,
            r#"{{"specversion":"1.0","id":"01a1bb9f-1f10-7984-{serial:016x}","source":"/n8n/leads","type":"{event_type}","subject":"lead-{person}","time":"{}","datacontenttype":"application/json","data":{{{data}}}}}"#,
            self.time
        );
    }
}
