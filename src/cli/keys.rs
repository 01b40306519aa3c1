//! `tallystick keys list | create`: API keys, and the data keys that the vault holds.

use clap::{Args, Subcommand};

use super::{DataArgs, Failure, Outcome, print_json};
use crate::app::App;

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// List the API keys of a ledger; the keys themselves cannot be shown
    List(List),
    /// Make an API key, shown this once
    Create(Create),
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
