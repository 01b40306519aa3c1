//! `tallystick keys list | create | rotate`: API keys, the key that signs checkpoints, the key that wraps the vault.

use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::control::{Control, problem_text};
use super::{DataArgs, Failure, Outcome, failed, print_json};
use crate::app::App;
use crate::ingest::create::SERVICE;

/// How long to wait for the first checkpoint with the new signature.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(10);

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// List the API keys of a ledger; the keys themselves cannot be shown
    List(List),
    /// Make an API key, shown this once
    Create(Create),
    /// Change the key that signs checkpoints, or the one that wraps the vault
    Rotate(Rotate),
}

/// Which key to change. Neither makes anything unreadable.
#[derive(Debug, Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    data: DataArgs,
    /// The log key: an entry hands over, and both keys sign until the overlap is over. Works beside a running server
    #[arg(long, conflicts_with = "kek", required_unless_present = "kek")]
    log: bool,
    /// The key-encryption key: a new epoch, and all keys of all ledgers of the directory are wrapped anew. Stop the server
    /// first. Called again after a crash, it goes on
    #[arg(long)]
    kek: bool,
    /// Days after today on which both log keys sign; 0 when the old one is lost or known to others
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    overlap_days: u32,
    /// Why the log key changes: scheduled, compromised, lost or algorithm
    #[arg(long, value_name = "REASON", default_value = "scheduled")]
    reason: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Rotate {
    async fn run(self) -> Outcome {
        let told = if self.log { self.log_key().await? } else { self.key_encryption_key().await? };
        if self.json {
            return print_json(&told);
        }
        for (name, value) in told.as_object().into_iter().flatten() {
            println!("{name:<14} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        Ok(())
    }

    async fn log_key(&self) -> Result<Value, Failure> {
        if let Some(mut server) = Control::find(&self.data.data).await {
            let body = json!({ "reason": self.reason, "overlap_days": self.overlap_days }).to_string();
            let answer = server.request("POST", "/v1/admin/log-key", "application/json", Bytes::from(body)).await?;
            if answer.status != 201 {
                return Err(Failure::Failed(problem_text(&answer)));
            }
            return serde_json::from_slice(&answer.body).map_err(failed);
        }
        let app = App::open(&self.data.data, &self.data.flags())?;
        let (ledger, checkpoints) = app.ledger_open(app.ledger_pick(self.data.ledger)?).await?;
        let rotated = ledger.log_key_rotate(&self.reason, self.overlap_days, SERVICE, None).await;
        let key = crate::jobs::checkpoint::verifier_key(&ledger).map_err(failed)?;
        checkpoints.wait_for(ledger.size(), CHECKPOINT_WAIT).await;
        app.close(&[ledger]).await;
        let rotated = rotated.map_err(failed)?;
        Ok(json!({
            "position": rotated.receipt.position, "verifier_key": key.to_string(), "overlap_until": rotated.overlap_until,
        }))
    }

    async fn key_encryption_key(&self) -> Result<Value, Failure> {
        let (folder, flags) = (&self.data.data, self.data.flags());
        let mut app = App::open(folder, &flags)?;
        let mut unfinished = 0;
        for id in app.ledger_ids()? {
            let reading = crate::app::reading(folder, &flags, Some(id)).await?;
            unfinished += reading.store.keys_remaining(app.keyring.current_epoch()).await.map_err(failed)?;
            reading.store.close().await;
        }
        let from = app.keyring.epochs().rev().nth(usize::from(unfinished > 0)).unwrap_or(app.keyring.current_epoch());
        if unfinished == 0 {
            let key = crate::crypto::secret::Secret::new(app.random.bytes());
            crate::config::keys::rotate(&app.config, folder, key).map_err(failed)?;
            // The new epoch is read back from where it was written: what cannot be read must wrap nothing.
            drop(app);
            app = App::open(folder, &flags)?;
        }
        let to = app.keyring.current_epoch();
        let (mut rewrapped, mut remaining, mut ledgers) = (0, 0, Vec::new());
        for id in app.ledger_ids()? {
            let (ledger, _) = app.ledger_open(id).await?;
            let done = ledger.keys_rewrap().await.map_err(failed);
            let recorded = match &done {
                Ok(done) => {
                    let data = json!({
                        "from_epoch": from, "to_epoch": to, "rewrapped": done.rewrapped, "remaining": done.remaining,
                    });
                    ledger.record_own("key.rotated", None, data, SERVICE, None).await.map(|_| ()).map_err(failed)
                }
                Err(_) => Ok(()),
            };
            ledgers.push(ledger);
            let done = done?;
            recorded?;
            (rewrapped, remaining) = (rewrapped + done.rewrapped, remaining + done.remaining);
        }
        app.close(&ledgers).await;
        Ok(json!({ "from_epoch": from, "to_epoch": to, "rewrapped": rewrapped, "remaining": remaining }))
    }
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    data: DataArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    data: DataArgs,
    /// recorder, reader, auditor or admin
    #[arg(long, value_name = "ROLE")]
    role: String,
    /// What to call it
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Keys {
    pub async fn run(self) -> Outcome {
        match self {
            Keys::List(list) => {
                let app = App::open(&list.data.data, &list.data.flags())?;
                let (ledger, _) = app.ledger_open(app.ledger_pick(list.data.ledger)?).await?;
                let rows = ledger.store().principals().await.map_err(super::failed)?;
                app.close(&[ledger]).await;
                let shown: Vec<_> = rows
                    .iter()
                    .map(|row| serde_json::json!({ "principal": row.principal, "role": row.role, "label": row.label, "created": row.created, "revoked": row.revoked }))
                    .collect();
                if list.json {
                    return print_json(&shown);
                }
                for row in rows {
                    let state = if row.revoked.is_some() { "revoked" } else { "live" };
                    println!("{}  {:<9} {:<8} {}  {}", row.principal, row.role, state, row.created, row.label);
                }
                Ok(())
            }
            Keys::Rotate(rotate) => rotate.run().await,
            Keys::Create(create) => {
                if create.role.parse::<crate::policy::access::Role>().is_err() {
                    return Err(Failure::Failed("the role is one of recorder, reader, auditor, admin".to_owned()));
                }
                let app = App::open(&create.data.data, &create.data.flags())?;
                let (ledger, _) = app.ledger_open(app.ledger_pick(create.data.ledger)?).await?;
                let made = app.key_create(&ledger, &create.role, &create.label, None).await;
                app.close(&[ledger]).await;
                let (principal, key) = made?;
                if create.json {
                    return print_json(&serde_json::json!({ "principal": principal, "role": create.role, "key": key }));
                }
                println!("{key}");
                Ok(())
            }
        }
    }
}
