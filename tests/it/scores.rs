//! Lead scores through the command line, against what scikit-learn computed from the same files (`golden/scores/make.py`).
#![expect(clippy::float_arithmetic, reason = "scores are real numbers")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/scores").join(name)
}

fn answers() -> Value {
    serde_json::from_slice(&std::fs::read(golden("golden.json")).unwrap()).unwrap()
}

fn scores(arguments: &[&str]) -> Result<Value, String> {
    let done =
        Command::new(env!("CARGO_BIN_EXE_tallystick")).arg("scores").args(arguments).arg("--json").output().unwrap();
    if done.status.success() {
        Ok(serde_json::from_slice(&done.stdout).unwrap())
    } else {
        Err(String::from_utf8(done.stderr).unwrap())
    }
}

fn close(got: &Value, expected: &Value, relative: f64, what: &str) {
    let (got, expected) = (got.as_f64().unwrap(), expected.as_f64().unwrap());
    assert!((got - expected).abs() <= relative * expected.abs(), "{what}: {got} against {expected}");
}

#[test]
fn a_trained_model_is_the_one_that_scikit_learn_trains() {
    let answers = answers();
    let file = golden("leads.csv");
    for (c, expected) in answers["training"].as_object().unwrap() {
        let got = scores(&["train", file.to_str().unwrap(), "--outcome", "sale", "--c", c]).unwrap();
        close(&got["model"]["intercept"], &expected["intercept"], 1e-6, "intercept");
        let features = got["model"]["features"].as_array().unwrap();
        let weights = expected["coefficients"].as_array().unwrap();
        assert_eq!(features.len(), weights.len());
        for (feature, weight) in features.iter().zip(weights) {
            close(&feature["coefficient"], weight, 1e-6, "coefficient");
        }
        let training = &got["training"];
        // The probabilities come from coefficients that agree to 1e-6, ranking from their order alone.
        close(&training["brier"], &expected["brier"], 1e-9, "brier");
        close(&training["log_loss"], &expected["log_loss"], 1e-9, "log loss");
        close(&training["auc"], &expected["auc"], 1e-9, "auc");
        close(&training["ks"]["value"], &expected["ks"], 1e-9, "ks");
    }
}

#[test]
fn figures_of_a_score_are_those_of_scikit_learn() {
    let answers = answers();
    let got =
        scores(&["evaluate", golden("ties.csv").to_str().unwrap(), "--outcome", "sale", "--score", "score"]).unwrap();
    let expected = &answers["ties"];
    for name in ["auc", "brier", "log_loss"] {
        close(&got[name], &expected[name], 1e-12, name);
    }
    close(&got["ks"]["value"], &expected["ks"], 1e-12, "ks");
    // The twin: another file's figures are told apart.
    let other =
        scores(&["evaluate", golden("late.csv").to_str().unwrap(), "--outcome", "sale", "--score", "score"]).unwrap();
    assert!((other["auc"].as_f64().unwrap() - expected["auc"].as_f64().unwrap()).abs() > 1e-6);
}

#[test]
fn a_file_of_scores_and_outcomes_needs_no_column_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain.csv");
    let text = std::fs::read_to_string(golden("ties.csv")).unwrap();
    std::fs::write(&path, text.replacen("score,sale", "score,outcome", 1)).unwrap();
    let got = scores(&["evaluate", path.to_str().unwrap()]).unwrap();
    close(&got["auc"], &answers()["ties"]["auc"], 1e-12, "auc");
}

#[test]
fn drift_is_that_of_numpys_quantiles() {
    let (late, early) = (golden("late.csv"), golden("early.csv"));
    for (bins, expected) in answers()["drift"].as_object().unwrap() {
        let asked = ["evaluate", late.to_str().unwrap(), "--outcome", "sale", "--score", "score", "--bins", bins];
        let got = scores(&[&asked[..], &["--baseline", early.to_str().unwrap()]].concat()).unwrap();
        close(&got["drift"]["psi"], expected, 1e-12, "psi");
        assert_eq!(got["drift"]["moved"], true);
    }
}

#[test]
fn a_recommendation_keeps_a_champion_that_is_as_good_and_replaces_one_that_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let file = golden("leads.csv");
    let file = file.to_str().unwrap();
    scores(&["train", file, "--outcome", "sale", "--out", &path("all.json")]).unwrap();
    scores(&["train", file, "--outcome", "sale", "--features", "years", "--out", &path("weak.json")]).unwrap();
    let ask = |champion: &str| {
        scores(&[
            "recommend",
            file,
            "--outcome",
            "sale",
            "--champion",
            &path(champion),
            "--price",
            "120.00",
            "--cost",
            "25",
            "--threshold",
            "480",
            "--out",
            &path("new.json"),
        ])
        .unwrap()
    };
    let (same, better) = (ask("all.json"), ask("weak.json"));
    assert_eq!(same["recommendation"]["act"], "keep_champion");
    assert_eq!(better["recommendation"]["act"], "activate_challenger");
    let profit = |value: &Value| value["profit"].as_str().unwrap().parse::<f64>().unwrap();
    assert!(profit(&better["threshold"]) > profit(&better["work_everybody"]));
    assert!(profit(&better["threshold"]) >= profit(&better["today"]));
    // What was written is what the answer names, and it scores as the answer says.
    let text = std::fs::read(path("new.json")).unwrap();
    let digest = tallystick::crypto::hash::sha256(&text).to_string();
    assert_eq!(better["challenger"]["file_sha256"], Value::String(digest));
    assert!(scores(&["evaluate", file, "--outcome", "sale", "--model", &path("new.json")]).is_ok());
}

#[test]
fn a_bad_file_is_told_by_line_and_column_and_never_by_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.csv");
    let ask = |text: &str| {
        std::fs::write(&path, text).unwrap();
        scores(&["train", path.to_str().unwrap(), "--outcome", "sale"]).unwrap_err()
    };
    assert!(ask("a,sale\n1,0\nsecret,1\n").contains("line 3, column a: not a number"));
    assert!(ask("a,sale\n1,0\n2,yes\n").contains("line 3, column sale: not 0 or 1"));
    assert!(ask("a,sale\n1,0\n2\n").contains("line 3: more or fewer fields than the header has"));
    assert!(ask("a,a,sale\n1,1,0\n").contains("column 2 stands twice"));
    assert!(ask("a,sold\n1,0\n").contains("the header has no column sale"));
    assert!(ask("a,sale\n1,0\n2,0\n").contains("all outcomes are alike"));
    assert!(ask("a,sale\n").contains("no rows"));
    assert!(!ask("a,sale\n1,0\nsecret,1\n").contains("secret"));
}

/// A file of this test alone, gone with it.
fn written(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, text).unwrap();
    (folder, file)
}

fn assign(facts: &str) -> Result<Vec<Value>, String> {
    let (_folder, file) = written("facts.ndjson", facts);
    let done = Command::new(env!("CARGO_BIN_EXE_tallystick")).args(["scores", "assign"]).arg(&file).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    match done.status.success() {
        true => Ok(text(done.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()),
        false => Err(text(done.stderr)),
    }
}

#[test]
fn leads_are_scored_by_the_card_with_reasons_that_add_up() {
    let facts = concat!(
        r#"{"acts":{"reply":[0,1209600],"booking":[0]},"features":{"equity_percent":60,"ownership":"absentee"}}"#,
        "\n\n",
        r#"{"acts":{"stop":[5]}}"#,
        "\n"
    );
    let scored = assign(facts).unwrap();
    // 20 and half of it, 30; 25 and 20, cut to 40; and the base of 20.
    assert_eq!((&scored[0]["score"], &scored[0]["band"], &scored[0]["line"]), (&120.into(), &"A".into(), &1.into()));
    let reasons: Vec<(String, i64)> = scored[0]["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| (reason["code"].as_str().unwrap().to_owned(), reason["points"].as_i64().unwrap()))
        .collect();
    let expected = [("replied", 30), ("booked", 30), ("equity-high", 25), ("absentee-or-inherited", 20), ("fit", -5)];
    assert_eq!(reasons, expected.map(|(code, points)| (code.to_owned(), points)));
    assert_eq!((&scored[1]["score"], &scored[1]["band"], &scored[1]["line"]), (&(-40).into(), &"D".into(), &3.into()));
    let card = scores(&["card"]).unwrap();
    assert_eq!(scored[0]["pack_sha256"], card["pack_sha256"]);
}

#[test]
fn wrong_facts_and_wrong_cards_are_named_without_their_values() {
    for (facts, expected) in [
        (r#"{"features":{"equity":60}}"#, "line 1: no feature equity is declared"),
        (r#"{"features":{"ownership":"secret-word"}}"#, "line 1: feature ownership has no such value"),
        (r#"{"acts":{"reply":[2,1]}}"#, "line 1: ages of acts begin with the newest"),
        ("{}\n{\"secret-word\":1}", "line 2: not the facts of a lead"),
    ] {
        let error = assign(facts).unwrap_err();
        assert!(error.contains(expected) && !error.contains("secret-word"), "{error}");
    }
    let (_folder, file) =
        written("card.toml", "pack='scoring'\nversion='1'\n[[rule]]\nid='r'\npoints=0\nact='reply'\n");
    assert!(scores(&["card", file.to_str().unwrap()]).unwrap_err().contains("r: points are not 0"));
}
