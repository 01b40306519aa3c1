//! The command as scripts see it.

use std::process::{Command, Output};

use serde_json::Value;

pub fn attribute(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tallystick")).arg("attribute").args(args).output().unwrap()
}

/// The JSON answer of a call that must succeed.
pub fn answer(args: &[&str]) -> Value {
    let output = attribute(&[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn written(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn refusal(args: &[&str]) -> (Option<i32>, String) {
    let output = attribute(args);
    assert!(output.stdout.is_empty(), "{args:?}");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).trim_end().to_owned())
}

const PATHS: &str = "path,total_conversions,total_non_conversions\na > b,3,5\nb,1,4\nc,0,2\n";

#[test]
fn the_answer_has_the_shape_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let paths = written(&folder, "paths.csv", PATHS);
    let got = answer(&["--paths", &paths, "--models", "first,linear"]);
    let expected = serde_json::json!({
        "first": {
            "a": {"conversions": 3.0, "value": null},
            "b": {"conversions": 1.0, "value": null},
            "c": {"conversions": 0.0, "value": null},
        },
        "linear": {
            "a": {"conversions": 1.5, "value": null},
            "b": {"conversions": 2.5, "value": null},
            "c": {"conversions": 0.0, "value": null},
        },
    });
    assert_eq!(got, expected, "value is unknown, and a channel without credit does not vanish");
}

#[test]
fn bands_hold_the_answer_and_depend_on_the_seed_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "path,total_conversions,total_non_conversions,total_conversion_value\na > b,300,500,3000\nb,100,4000,500\n";
    let paths = written(&folder, "paths.csv", text);
    let models = "first,markov:2,shapley_rate";
    let with_seed = |seed| answer(&["--paths", &paths, "--models", models, "--bands", "400", "--seed", seed]);
    let got = with_seed("7");
    assert_eq!(got, with_seed("7"));
    assert_ne!(got, with_seed("8"));
    for (model, channels) in got.as_object().unwrap() {
        for (channel, credit) in channels.as_object().unwrap() {
            for figure in ["conversions", "value"] {
                let at = credit[figure].as_f64().unwrap();
                let band = &credit[format!("{figure}_band")];
                let (low, high) = (band[0].as_f64().unwrap(), band[1].as_f64().unwrap());
                assert!(low < at && at < high, "{model} {channel} {figure}: {low} {at} {high}");
            }
        }
    }
    // Conversions of a first touch are a Poisson count here: mean 300, so 5 % lie below 300 - 1.645 x 17.3.
    let low = got["first"]["a"]["conversions_band"][0].as_f64().unwrap();
    assert!((low - 271.5).abs() < 6.0, "{low}");
}

#[test]
fn wrong_input_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let paths = written(&folder, "paths.csv", PATHS);
    let broken = written(&folder, "broken.csv", "path;total_conversions\na > b;1\na > > b;1\n");
    let place = format!(
        "tallystick: journeys that did not convert are not counted: rates are 1, and Markov effects only count visits\ntallystick: {broken}: line 3, column 1 (path): an empty step; a path is channel names with a separator between them"
    );
    assert_eq!(refusal(&["--paths", &broken, "--models", "first"]), (Some(1), place));
    for (models, said) in [
        ("markov:6", "model markov:6: a Markov model has an order from 1 to 5, such as markov:1"),
        ("markov:0", "model markov:0: a Markov model has an order from 1 to 5, such as markov:1"),
        (
            "time_decay_7d",
            "model time_decay_7d: time_decay_7d needs touches with times and milestones, which a path file does not have",
        ),
        (
            "w_shaped",
            "model w_shaped: w_shaped needs touches with times and milestones, which a path file does not have",
        ),
        ("custom:x", "model custom:x: no rule called x was given"),
    ] {
        assert_eq!(refusal(&["--paths", &paths, "--models", models]), (Some(1), format!("tallystick: {said}")));
    }
    let (code, said) = refusal(&["--paths", &paths, "--models", "markov"]);
    assert!(code == Some(1) && said.contains("no model is called so") && said.contains("markov:<order>"), "{said}");
    assert_eq!(refusal(&["--models", "first"]).0, Some(2), "no input");
    assert_eq!(refusal(&["--paths", &paths]).0, Some(2), "no models");
}

#[test]
fn journeys_and_touches_must_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let head = "journey_id,converted,conversion_ts,value_cents\n";
    let touch_head = "journey_id,seq,ts,channel\n";
    let (journeys, touches) = (folder.path().join("journeys.csv"), folder.path().join("touches.csv"));
    let j1 = "j1,1,2026-01-05T00:00:00Z,100\n";
    let t1 = "j1,1,2026-01-01T00:00:00Z,mail\n";
    for (journey_lines, touch_lines, said) in [
        (
            j1.to_owned(),
            format!("{t1}j2,1,2026-01-01T00:00:00Z,sms\n"),
            "touches.csv: line 3, column 1 (journey_id): a touch of no journey here",
        ),
        (
            format!("j2,0,,\n{j1}"),
            format!("{t1}j2,1,2026-01-01T00:00:00Z,sms\n"),
            "touches.csv: line 3, column 1 (journey_id)",
        ),
        (j1.to_owned(), format!("{t1}{t1}"), "touches.csv: line 3, column 2 (seq): the sequence number does not grow"),
        (j1.to_owned(), "j1,1,2026-01-01,mail\n".to_owned(), "touches.csv: line 2, column 3 (ts): not an RFC 3339"),
        (j1.to_owned(), "j1,1,2026-01-01T00:00:00Z,\n".to_owned(), "touches.csv: line 2, column 4 (channel): empty"),
        (
            "j1,1,,100\n".to_owned(),
            t1.to_owned(),
            "journeys.csv: line 2, column 3 (conversion_ts): a converted journey has",
        ),
        (
            "j1,1,2026-01-05T00:00:00Z,\n".to_owned(),
            t1.to_owned(),
            "journeys.csv: line 2, column 4 (value_cents): a converted",
        ),
        ("j1,0,,7\n".to_owned(), t1.to_owned(), "journeys.csv: line 2, column 4 (value_cents): a converted"),
        ("j1,yes,,\n".to_owned(), t1.to_owned(), "journeys.csv: line 2, column 2 (converted): not 0 or 1"),
        (
            "j1,1,2026-01-05T00:00:00Z,1.5\n".to_owned(),
            t1.to_owned(),
            "journeys.csv: line 2, column 4 (value_cents): not a whole",
        ),
        (
            format!("{j1}j1,0,,\n"),
            t1.to_owned(),
            "journeys.csv: line 3, column 1 (journey_id): this journey has more lines",
        ),
    ] {
        std::fs::write(&journeys, format!("{head}{journey_lines}")).unwrap();
        std::fs::write(&touches, format!("{touch_head}{touch_lines}")).unwrap();
        let files = ["--touches", touches.to_str().unwrap(), "--journeys", journeys.to_str().unwrap()];
        let (code, got) = refusal(&[&files[..], &["--models", "linear"]].concat());
        assert!(code == Some(1) && got.contains(said), "{said}\n{got}");
    }
}

#[test]
fn a_table_is_printed_for_people() {
    let folder = tempfile::tempdir().unwrap();
    let paths = written(
        &folder,
        "paths.csv",
        "path;total_conversions;total_conversion_value;total_null;note\na > b;3;30;5;x\n",
    );
    let output = attribute(&["--paths", &paths, "--models", "markov:1", "--effects"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        text,
        "markov:1\n  a          1.5000             15.00  removal 1.000000\n  b          1.5000             15.00  removal 1.000000\n"
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("columns that are not read: note"));
}
