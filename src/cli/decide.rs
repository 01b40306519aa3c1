//! `tallystick decide`: the gate from the command line, through the running server or on the data directory itself.

use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use serde_json::{Map, Value, json};

use super::control::{Control, problem_text};
use super::{DataArgs, Failure, Outcome, failed, print_json};
use crate::app::App;
use crate::decisions::{ContactQuestion, Gate};
use crate::http::api::decisions::view_of;
use crate::ingest::create::SERVICE;

/// What to ask.
#[derive(Debug, Args)]
pub(super) struct Decide {
    #[command(flatten)]
    data: DataArgs,
    /// File with the whole question as JSON, in place of the options below
    #[arg(long, value_name = "FILE", conflicts_with_all = ["phone", "email", "channel", "seller"])]
    question: Option<PathBuf>,
    /// Number that would be called or texted
    #[arg(long)]
    phone: Option<String>,
    /// Address that would be written to
    #[arg(long)]
    email: Option<String>,
    /// mobile, landline, voip, toll_free, unknown
    #[arg(long)]
    line_type: Option<String>,
    /// ZIP code of the person's address
    #[arg(long)]
    zip: Option<String>,
    /// State of the person's address
    #[arg(long)]
    state: Option<String>,
    /// voice, sms, mms, email, data_transfer
    #[arg(long, default_value = "voice")]
    channel: String,
    /// manual, autodialed, prerecorded, ai_voice, automated, api
    #[arg(long, default_value = "manual")]
    technology: String,
    /// marketing, informational, transactional, emergency, opt_out_confirmation, sell_lead
    #[arg(long, default_value = "marketing")]
    purpose: String,
    /// Seller on whose behalf
    #[arg(long, required_unless_present = "question")]
    seller: Option<String>,
    /// What it is about
    #[arg(long)]
    topic: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Decide {
    fn body(&self) -> Result<Value, Failure> {
        if let Some(file) = &self.question {
            let text = std::fs::read(file)
                .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", file.display())))?;
            return serde_json::from_slice(&text).map_err(failed);
        }
        let some = |pairs: &[(&str, &Option<String>)]| -> Map<String, Value> {
            let given = pairs.iter().filter_map(|(name, value)| Some(((*name).to_owned(), json!(value.as_ref()?))));
            given.collect()
        };
        let recipient = some(&[
            ("phone", &self.phone),
            ("email", &self.email),
            ("line_type", &self.line_type),
            ("zip", &self.zip),
            ("state", &self.state),
        ]);
        let mut contact = some(&[("seller", &self.seller), ("topic", &self.topic)]);
        contact.insert("channel".to_owned(), json!(self.channel));
        contact.insert("technology".to_owned(), json!(self.technology));
        contact.insert("purpose".to_owned(), json!(self.purpose));
        Ok(json!({ "recipient": recipient, "contact": contact }))
    }

    pub async fn run(self) -> Outcome {
        let body = self.body()?;
        let answer = match Control::find(&self.data.data).await {
            Some(mut connection) => {
                let body = Bytes::from(body.to_string());
                let answer = connection.request("POST", "/v1/decisions/contact", "application/json", body).await?;
                if answer.status != 200 {
                    return Err(Failure::Failed(problem_text(&answer)));
                }
                serde_json::from_slice(&answer.body).map_err(failed)?
            }
            None => self.local(body).await?,
        };
        if self.json {
            return print_json(&answer);
        }
        print(&answer);
        Ok(())
    }

    async fn local(&self, body: Value) -> Result<Value, Failure> {
        let question: ContactQuestion = serde_json::from_value(body).map_err(failed)?;
        let app = App::open(&self.data.data, &self.data.flags())?;
        let (ledger, _) = app.ledger_open(app.ledger_pick(self.data.ledger)?).await?;
        let decided = Gate::default().decide(&ledger, &question, SERVICE, None).await;
        app.close(&[ledger]).await;
        decided.map(|decided| view_of(&decided)).map_err(failed)
    }
}

/// The answer for a person at a terminal.
pub(super) fn print(answer: &Value) {
    let list = |name: &str| {
        let words = answer.get(name).and_then(Value::as_array).into_iter().flatten();
        words.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
    };
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
    let allowed = answer.get("allow") == Some(&Value::Bool(true));
    println!("{}  {}", if allowed { "allowed" } else { "refused" }, list("reasons"));
    if allowed {
        println!("until           {}", text("expires_at"));
    } else {
        println!("next allowed    {}", text("next_allowed_at"));
        println!("honour by       {}", text("honor_by"));
    }
    for time in answer.get("local_times").and_then(Value::as_array).into_iter().flatten() {
        let of = |name: &str| time.get(name).and_then(Value::as_str).unwrap_or_default();
        println!("local time      {}  {}", of("local"), of("zone"));
    }
    println!("states          {}", list("states"));
    println!("warnings        {}", list("warnings"));
    println!("decision        {}", text("decision"));
}
