//! Figures of a score as JSON.

use serde_json::{Value, json};

use crate::domain::score::drift::Drift;
use crate::domain::score::metrics::{
    auc, brier, calibration, calibration_error, deciles, gini, ks, log_loss, probabilities,
};
use crate::domain::score::{Sample, SampleError, Scored};

/// Every figure that the sample defines; those of probabilities are null where a score is none.
///
/// # Errors
/// [`SampleError`] where ranking is not defined.
pub fn performance(sample: &[Sample]) -> Result<Value, SampleError> {
    let scored = Scored::new(sample)?;
    let (distance, at) = ks(&scored);
    let deciles: Vec<Value> = deciles(&scored)
        .into_iter()
        .map(|tenth| {
            json!({ "decile": tenth.number, "leads": tenth.leads, "positives": tenth.positives, "lift": tenth.lift,
                "gain": tenth.gain })
        })
        .collect();
    let mut report = json!({
        "rows": scored.rows(), "positives": scored.positives(), "auc": auc(&scored), "gini": gini(&scored),
        "ks": { "value": distance, "at": at }, "deciles": deciles,
        "brier": null, "log_loss": null, "calibration": null, "calibration_error": null,
    });
    if let (Ok(sample), Some(report)) = (probabilities(sample), report.as_object_mut()) {
        let bins = calibration(sample);
        report.insert("brier".to_owned(), json!(brier(sample)));
        report.insert("log_loss".to_owned(), json!(log_loss(sample)));
        report.insert("calibration_error".to_owned(), json!(calibration_error(&bins)));
        let bins = bins.into_iter().map(|bin| {
            json!({ "from": bin.from, "to": bin.to, "rows": bin.rows, "positives": bin.positives,
                "predicted": bin.predicted, "observed": bin.observed, "low": bin.band.0, "high": bin.band.1 })
        });
        report.insert("calibration".to_owned(), Value::Array(bins.collect()));
    }
    Ok(report)
}

/// The population stability index and its bins.
pub fn moved(drift: &Drift) -> Value {
    let bins = drift.bins.iter().map(
        |bin| json!({ "from": bin.from, "to": bin.to, "earlier": bin.earlier, "later": bin.later, "index": bin.index }),
    );
    json!({ "psi": drift.index, "critical_95": drift.critical, "moved": drift.index > drift.critical,
        "bins": bins.collect::<Vec<_>>() })
}
