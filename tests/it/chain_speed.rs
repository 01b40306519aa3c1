//! How fast a chain is written and verified. Not a check: run it with `cargo test -- --ignored --nocapture chain_speed`.

use std::time::Instant;

use tallystick::chain::entry::{Draft, EntryBody, EntryRef, Link};
use tallystick::chain::heads::Share;
use tallystick::chain::leaf::leaf_hash;
use tallystick::chain::segment::SegmentVerifier;
use tallystick::chain::verify::ChainVerifier;
use tallystick::crypto::hash::Digest;
use tallystick::domain::time::Timestamp;

use crate::log_folder::{LEDGER, chain, entry};

const ENTRIES: u64 = 400_000;

fn report(what: &str, start: Instant) {
    let rate = u128::from(ENTRIES) * 1_000_000_000 / start.elapsed().as_nanos().max(1);
    println!("{what}: {rate} entries/s");
}

#[test]
#[ignore = "prints figures"]
fn speed_of_encoding_linking_decoding_and_verifying() {
    let sample = entry(1, Digest::ZERO, None, false);
    let body = EntryBody {
        ledger: sample.ledger,
        event: sample.event,
        event_type: &sample.event_type,
        schema: sample.schema,
        subject: None,
        actor: sample.actor,
        corrects: None,
        dedupe: sample.dedupe,
        parts: &sample.parts,
    };
    let start = Instant::now();
    for _ in 0..ENTRIES {
        std::hint::black_box(Draft::new(std::hint::black_box(&body)).unwrap());
    }
    report("draft", start);

    let draft = Draft::new(&body).unwrap();
    let mut out = Vec::new();
    let mut previous = Digest::ZERO;
    let start = Instant::now();
    for position in 0..ENTRIES {
        out.clear();
        let link = Link { position, previous, recorded: Timestamp::from_micros(1), subject: None, cause: None };
        draft.link_into(&link, &mut out).unwrap();
        previous = leaf_hash(&out);
    }
    report("link and hash", start);

    let entries = chain(ENTRIES, ENTRIES / 4);
    println!("{} bytes an entry", entries[1000].len());
    let start = Instant::now();
    for bytes in &entries {
        std::hint::black_box(EntryRef::decode(bytes).unwrap());
    }
    report("decode", start);

    let start = Instant::now();
    for bytes in &entries {
        std::hint::black_box(leaf_hash(bytes));
    }
    report("hash", start);

    let mut verifier = ChainVerifier::new(LEDGER, Share::ALL);
    let start = Instant::now();
    for (position, bytes) in (0..).zip(&entries) {
        verifier.feed(position, bytes).unwrap();
    }
    let mut verified = verifier.finish(None).unwrap();
    report("verify, one core", start);
    let start = Instant::now();
    verified.heads.root().unwrap();
    println!("first root of {} subjects: {:?}", verified.heads.len(), start.elapsed());

    let start = Instant::now();
    let half = entries.len() / 2;
    let run = |first: usize, run: &[Vec<u8>]| {
        let mut segment = SegmentVerifier::new(LEDGER, first as u64);
        for (position, bytes) in (first as u64..).zip(run) {
            segment.feed(position, bytes).unwrap();
        }
        segment.finish()
    };
    let (left, right) = std::thread::scope(|scope| {
        let right = scope.spawn(|| run(half, &entries[half..]));
        (run(0, &entries[..half]), right.join().unwrap())
    });
    let mut verifier = ChainVerifier::new(LEDGER, Share::ALL);
    verifier.stitch(left).unwrap();
    verifier.stitch(right).unwrap();
    assert_eq!(verifier.finish(None).unwrap().root, verified.root);
    report("verify, two runs on two cores", start);
}
