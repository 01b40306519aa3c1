//! What the console's pages show. Text is escaped by the templates; nothing here is personal: sums, names of campaigns and
//! event types.

use askama::Template;

use crate::domain::time::Timestamp;
use crate::http::error::Problem;
use crate::http::state::{AppState, Service};
use crate::policy::access::Role;
use crate::views::roi::{Dimension, RoiQuery, RoiRow};
use crate::views::{consent, health, roi};

/// Days of the health table.
const DAYS: i64 = 7;
/// Rows of a table; the API has the rest.
const ROWS_MAX: usize = 20;

/// The login.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in - Tallystick</title><link rel="stylesheet" href="/console/console.css"></head>
<body><header><div class="name">Tallystick</div></header>
<main><section><h1>Log in</h1>
<p class="lead">With an API key of a ledger on this server. It is not stored in your browser.</p>
{% if !refused.is_empty() %}<p class="refused" role="alert">{{ refused }}</p>{% endif %}
<form class="login" method="post" action="/console/login">
<label for="key">API key</label>
<input id="key" name="key" type="password" autocomplete="off" required autofocus>
<button type="submit">Log in</button>
</form></section></main>
<footer><a href="/docs/">API</a></footer></body></html>
"#
)]
pub struct Login<'a> {
    /// Why the last try failed; empty before one.
    pub refused: &'a str,
}

/// How the ledger stands.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ origin }} - Tallystick</title><link rel="stylesheet" href="/console/console.css"></head>
<body><header><div class="name">Tallystick<span>{{ origin }}{% if scratch %} - scratch{% endif %}</span></div>
<form method="post" action="/console/logout"><button type="submit">Log out</button></form></header>
<main>
<ul class="tiles">
<li><b>{{ size }}</b><span>entries in the log</span></li>
<li><b>{{ checkpoint }}</b><span>covered by the last checkpoint</span></li>
<li{% if quarantine_open > 0 %} class="warn"{% endif %}><b>{{ quarantine_open }}</b><span>waiting in quarantine{% if let Some(oldest) = quarantine_oldest %}, since {{ oldest }}{% endif %}</span></li>
<li{% if lag > 1000 %} class="warn"{% endif %}><b>{{ lag }}</b><span>entries the views have not seen</span></li>
{% if read_only %}<li class="warn"><b>Read only</b><span>the store verifies itself</span></li>{% endif %}
</ul>
<section><h2>Return on investment by campaign</h2>
{% if roi.is_empty() %}<p class="empty">No cost, revenue or lead has been recorded yet.</p>{% else %}
<table><thead><tr><th>Campaign</th><th>Currency</th><th class="number">Revenue</th><th class="number">Cost</th><th class="number">Margin</th><th class="number">ROI</th><th class="number">Leads</th><th class="number">Sales</th></tr></thead><tbody>
{% for row in roi %}<tr><td>{{ row.name }}</td><td>{{ row.currency }}</td><td class="number">{{ row.revenue }}</td><td class="number">{{ row.cost }}</td><td class="number">{{ row.margin }}</td><td class="number">{{ row.roi }}</td><td class="number">{{ row.leads }}</td><td class="number">{{ row.sales }}</td></tr>
{% endfor %}</tbody></table>{% endif %}</section>
<section><h2>Consent and refusal, all time</h2>
{% if consent.is_empty() %}<p class="empty">Nobody has agreed to or refused anything yet.</p>{% else %}
<table><thead><tr><th>Act</th><th>Channels</th><th>Seller</th><th class="number">Count</th></tr></thead><tbody>
{% for row in consent %}<tr><td>{{ row.act }}</td><td>{{ row.channels.join(", ") }}</td><td>{{ row.seller.as_deref().unwrap_or("every seller") }}</td><td class="number">{{ row.count }}</td></tr>
{% endfor %}</tbody></table>{% endif %}</section>
<section><h2>What came in, last 7 days</h2>
{% if days.is_empty() %}<p class="empty">Nothing has been recorded this week.</p>{% else %}
<table><thead><tr><th>Day</th><th>Family</th><th class="number">Entries</th></tr></thead><tbody>
{% for day in days %}<tr><td>{{ day.day }}</td><td>{{ day.family }}</td><td class="number">{{ day.events }}</td></tr>
{% endfor %}</tbody></table>{% endif %}</section>
<section><h2>The log</h2>
<dl><dt>Ledger</dt><dd><code>{{ ledger }}</code></dd><dt>Root</dt><dd><code>{{ root }}</code></dd>
<dt>Checkpoint</dt><dd><a href="/log/{{ ledger }}/checkpoint"><code>/log/{{ ledger }}/checkpoint</code></a></dd>
<dt>Verifier key</dt><dd><code>{{ verifier_key }}</code></dd><dt>Your role</dt><dd>{{ role }}</dd></dl></section>
</main><footer>Tallystick {{ version }} - <a href="/docs/">API</a></footer></body></html>
"#
)]
pub struct Overview {
    origin: String,
    scratch: bool,
    size: u64,
    checkpoint: u64,
    quarantine_open: i64,
    quarantine_oldest: Option<String>,
    lag: u64,
    read_only: bool,
    roi: Vec<RoiLine>,
    consent: Vec<consent::ConsentActivity>,
    days: Vec<health::FamilyDay>,
    ledger: String,
    root: String,
    verifier_key: String,
    role: &'static str,
    version: &'static str,
}

/// A campaign in one currency.
struct RoiLine {
    name: String,
    currency: String,
    revenue: String,
    cost: String,
    margin: String,
    roi: String,
    leads: i64,
    sales: i64,
}

/// Reads what the overview shows.
///
/// # Errors
/// What the store answers.
pub async fn overview(state: &AppState, service: &Service, role: Role) -> Result<Overview, Problem> {
    let ledger = &service.ledger;
    let store = ledger.store();
    let today = ledger.now().unix_days();
    let health = health::health(&store, today - DAYS + 1, today + 1).await?;
    let query = RoiQuery { by: [Dimension::Campaign].into(), ..RoiQuery::default() };
    let answer = roi::roi(&store, &query).await?;
    let mut consent = consent::activity(&store, Timestamp::MIN, Timestamp::MAX, Timestamp::MAX).await?;
    consent.sort_by_key(|row| std::cmp::Reverse(row.count));
    consent.truncate(ROWS_MAX);
    let mut days = health.days;
    days.reverse();
    let (size, root) = ledger.root_now();
    let verifier_key = crate::jobs::checkpoint::verifier_key(ledger).map_err(Problem::internal)?;
    Ok(Overview {
        origin: ledger.origin.clone(),
        scratch: ledger.scratch,
        size,
        checkpoint: service.checkpoints.latest().map_or(0, |published| published.size),
        quarantine_open: health.quarantine_open,
        quarantine_oldest: health.quarantine_oldest.map(|oldest| oldest.to_string().chars().take(10).collect()),
        lag: service.runner.lag().events,
        read_only: ledger.read_only_reason().is_some(),
        roi: answer.rows.iter().flat_map(lines).take(ROWS_MAX).collect(),
        consent,
        days,
        ledger: ledger.id.to_string(),
        root: root.to_string(),
        verifier_key: verifier_key.to_string(),
        role: role.name(),
        version: state.settings.version,
    })
}

/// A campaign's lines: one a currency; its counts stand in the first.
fn lines(row: &RoiRow) -> Vec<RoiLine> {
    let name = row.names.campaign.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| "no campaign".to_owned());
    let line = |leads: i64, sales: i64| RoiLine {
        name: name.clone(),
        currency: String::new(),
        revenue: String::new(),
        cost: String::new(),
        margin: String::new(),
        roi: String::new(),
        leads,
        sales,
    };
    if row.money.is_empty() {
        return vec![line(row.leads, row.sales)];
    }
    let money = row.money.iter().enumerate().map(|(at, money)| RoiLine {
        currency: money.revenue.currency.clone(),
        revenue: money.revenue.amount.clone(),
        cost: money.cost.amount.clone(),
        margin: money.margin.amount.clone(),
        roi: money.roi.clone().unwrap_or_else(|| "-".to_owned()),
        ..if at == 0 { line(row.leads, row.sales) } else { line(0, 0) }
    });
    money.collect()
}
