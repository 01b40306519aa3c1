//! The command against answers of reference engines, where they are at hand, and against small cases worked out by hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::command::{answer, attribute};

const RULES: &str = "first,last,linear,position_40_20_40,time_decay_7d,w_shaped_30_30_30_10";
const PATHS: &str = "first,last,linear,position_40_20_40,markov:1,markov:2,markov:3,shapley_sets,shapley_rate,\
                     shapley_counterfactual_path,shapley_counterfactual_path:exposure";

pub fn shared() -> Option<PathBuf> {
    let near = ["../shared/attribution", "../../shared/attribution"];
    let found = near.iter().map(|path| Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).find(|path| path.is_dir());
    if found.is_none() {
        eprintln!("no shared golden answers here: not tested");
    }
    found
}

/// One line of the golden answers: data set, model under our name, channel, conversions, value.
pub type Golden = (String, String, String, f64, Option<f64>);

pub fn golden(folder: &Path) -> Vec<Golden> {
    let text = std::fs::read_to_string(folder.join("results.csv")).unwrap();
    let mut rows = Vec::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [set, model, params, engine, kind, channel, conversions, value] = fields[..] else { panic!("{line}") };
        let theirs = matches!(model, "markov_journey_normalised" | "shapley_rate_last4_alphabetical");
        if kind != "exact" || theirs || channel == "Unmatched_Channel" {
            continue;
        }
        let model = match model {
            "markov" => format!("markov:{}", params.split(';').next().unwrap().strip_prefix("order=").unwrap()),
            "shapley_counterfactual_path" if params.contains("exposure") => format!("{model}:exposure"),
            _ => model.to_owned(),
        };
        // Values of peers are not rounded to cents per touch, so only the reference's are ours.
        let value = value.parse().ok().filter(|_| engine == "reference");
        rows.push((set.to_owned(), model, channel.to_owned(), conversions.parse().unwrap(), value));
    }
    rows
}

/// Figures that are not equal to 1e-9, and how many were compared.
pub fn compare(golden: &[Golden], set: &str, answer: &Value) -> (Vec<String>, usize) {
    let (mut wrong, mut compared) = (Vec::new(), 0);
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3);
    for (_, model, channel, conversions, value) in golden.iter().filter(|row| row.0 == set) {
        let got = &answer[model][channel];
        let figures = [("conversions", Some(*conversions)), ("value", *value)];
        for (name, expected) in figures.into_iter().filter_map(|(name, figure)| Some((name, figure?))) {
            compared += 1;
            if !got[name].as_f64().is_some_and(|got| close(got, expected)) {
                wrong.push(format!("{set} {model} {channel} {name}: {} instead of {expected}", got[name]));
            }
        }
    }
    (wrong, compared)
}

fn c_files(folder: &Path) -> [String; 4] {
    let path = |name: &str| folder.join(name).display().to_string();
    ["--touches".to_owned(), path("c_touches.csv"), "--journeys".to_owned(), path("c_journeys.csv")]
}

#[test]
fn every_model_equals_the_golden_answers() {
    let Some(folder) = shared() else { return };
    let golden = golden(&folder);
    let b = answer(&["--paths", &folder.join("b_paths.csv").display().to_string(), "--models", PATHS]);
    let (mut wrong, mut compared) = compare(&golden, "b", &b);
    let models = format!("{RULES},markov:1,markov:2,markov:3,shapley_sets,shapley_rate");
    for (set, days) in [("c90", "90"), ("c30", "30")] {
        let mut args: Vec<String> = c_files(&folder).to_vec();
        args.extend(["--models", &models, "--lookback-days", days].map(str::to_owned));
        let got = answer(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let (more, count) = compare(&golden, set, &got);
        wrong.extend(more);
        compared += count;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 500, "only {compared} figures were compared");
    eprintln!("{compared} figures equal");
    // The twin: a figure moved by 2e-9 is seen.
    let mut moved = golden;
    let row = moved.iter_mut().find(|row| row.0 == "b" && row.1 == "markov:3").unwrap();
    row.3 *= 1.0 + 2e-9;
    assert_eq!(compare(&moved, "b", &b).0.len(), 1);
}

#[test]
fn whole_cents_equal_the_golden_credits_to_the_byte() {
    let Some(folder) = shared() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let credits = temporary.path().join("credits.csv");
    let mut args: Vec<String> = c_files(&folder).to_vec();
    let models = "linear,position_40_20_40,time_decay_7d,w_shaped_30_30_30_10";
    args.extend(["--models", models, "--lookback-days", "90", "--credits"].map(str::to_owned));
    args.push(credits.display().to_string());
    answer(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let (got, expected) =
        (std::fs::read(&credits).unwrap(), std::fs::read(folder.join("c90_credit_cents.csv")).unwrap());
    let line = got.split(|byte| *byte == b'\n').zip(expected.split(|byte| *byte == b'\n')).position(|(a, b)| a != b);
    assert!(got == expected, "line {line:?} is the first that differs, of {} and {} bytes", got.len(), expected.len());
}

/// Credit by channel of one model, conversions and value.
fn figures(answer: &Value, model: &str) -> BTreeMap<String, (f64, f64)> {
    let rows = answer[model].as_object().unwrap();
    let figure = |value: &Value| value.as_f64().unwrap();
    rows.iter().map(|(name, row)| (name.clone(), (figure(&row["conversions"]), figure(&row["value"])))).collect()
}

fn assert_figures(answer: &Value, model: &str, expected: &[(&str, f64, f64)]) {
    let got = figures(answer, model);
    assert_eq!(got.len(), expected.len(), "{model}: {got:?}");
    for (channel, conversions, value) in expected {
        let (a, b) = got[*channel];
        assert!((a - conversions).abs() < 1e-12 && (b - value).abs() < 1e-9, "{model} {channel}: {a} {b}");
    }
}

#[test]
fn paths_worked_out_by_hand() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("paths.csv");
    let text = "path;total_conversions;total_conversion_value;total_null\n\
                mail > call;6;60;4\n\
                mail > sms > call;2;40;0\n\
                call;0;0;8\n";
    std::fs::write(&path, text).unwrap();
    let models =
        "first,last,linear,position,markov:1,shapley_sets,shapley_rate,shapley_ordered,shapley_counterfactual_path";
    let got = answer(&["--paths", &path.display().to_string(), "--models", models, "--effects"]);
    assert_figures(&got, "first", &[("mail", 8.0, 100.0), ("call", 0.0, 0.0), ("sms", 0.0, 0.0)]);
    assert_figures(&got, "last", &[("mail", 0.0, 0.0), ("call", 8.0, 100.0), ("sms", 0.0, 0.0)]);
    let third = 2.0 / 3.0;
    let linear = [("mail", 3.0 + third, 30.0 + 20.0 * third), ("call", 3.0 + third, 30.0 + 20.0 * third)];
    assert_figures(&got, "linear", &[linear[0], linear[1], ("sms", third, 20.0 * third)]);
    assert_figures(&got, "position", &[("mail", 3.8, 46.0), ("call", 3.8, 46.0), ("sms", 0.4, 8.0)]);
    assert_figures(&got, "shapley_sets", &[linear[0], linear[1], ("sms", third, 20.0 * third)]);
    // From call 8 of 20 convert, whatever came before: worth 0.4. Mail is reached by 12 journeys, sms by 2 of them.
    // Without call nothing converts; without mail 12 x 0.4 = 4.8 conversions are lost; without sms 2 x 0.4 = 0.8.
    let sum = 1.0 + 0.6 + 0.1;
    let markov =
        [("call", 8.0 / sum, 100.0 / sum), ("mail", 8.0 * 0.6 / sum, 60.0 / sum), ("sms", 0.8 / sum, 10.0 / sum)];
    assert_figures(&got, "markov:1", &markov);
    for (channel, effect) in [("call", 1.0), ("mail", 0.6), ("sms", 0.1)] {
        let found = &got["markov:1"][channel]["removal_effect"]["conversions"];
        assert!((found.as_f64().unwrap() - effect).abs() < 1e-12, "{channel}: {found}");
    }
    // Rates: {mail, call} 0.6, {mail, sms, call} 1, {call} 0. Two share 0.6 evenly. Of three, 0.6 falls to each of mail and
    // call by 1/6 and is taken from sms by 1/3; what the whole adds is even.
    let (pair, three) = (0.6 / 6.0, (1.0 / 3.0, 0.6 / 3.0));
    let big = 2.0 * (three.0 + pair);
    let small = 2.0 * (three.0 - three.1);
    let rate =
        [("mail", 3.0 + big, 30.0 + 20.0 * big), ("call", 3.0 + big, 30.0 + 20.0 * big), ("sms", small, 20.0 * small)];
    assert_figures(&got, "shapley_rate", &rate);
    assert_figures(&got, "shapley_ordered", &rate);
    // Without mail a call converts at 0, and a mail alone was never seen: both lose 0.6. Of three touches, taking out sms
    // loses 0.4 and each other 1.
    let (large, least) = (2.0 / 2.4, 0.8 / 2.4);
    let path = [("mail", 3.0 + large, 30.0 + 20.0 * large), ("call", 3.0 + large, 30.0 + 20.0 * large)];
    assert_figures(&got, "shapley_counterfactual_path", &[path[0], path[1], ("sms", least, 20.0 * least)]);
}

#[test]
fn journeys_worked_out_by_hand() {
    let temporary = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = temporary.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let touches = file(
        "touches.csv",
        "journey_id,seq,ts,channel,milestone,kind\n\
         j1,1,2026-01-01T00:00:00Z,mail,,open\n\
         j1,2,2026-01-08T00:00:00Z,sms,lead_created,click\n\
         j1,3,2026-01-15T00:00:00Z,call,,answered\n\
         j1,4,2026-01-20T00:00:00Z,mail,,click\n\
         j2,1,2026-01-01T00:00:00Z,mail,,open\n\
         j4,1,2026-01-01T00:00:00Z,sms,,click\n",
    );
    // j1 converts twice; j3 has no touch; j4 converts for nothing, before its touch.
    let journeys = file(
        "journeys.csv",
        "journey_id,converted,conversion_ts,value_cents\n\
         j1,1,2026-01-15T00:00:00Z,1001\n\
         j1,1,2026-01-21T00:00:00Z,700\n\
         j2,0,,0\n\
         j3,1,2026-01-02T00:00:00Z,50\n\
         j4,1,2025-12-31T00:00:00Z,0\n",
    );
    let rules = file(
        "rules.toml",
        "[clicks]\nversion = \"2\"\nrest = 1\nkinds = { open = 0 }\n[half]\nversion = \"1\"\nrest = 1\nchannels = { call = 50 }\n",
    );
    let credits = temporary.path().join("credits.csv").display().to_string();
    let models = "time_decay_7d,u_shaped,full_path,custom:clicks@2,custom:half,first";
    let files = ["--touches", &touches, "--journeys", &journeys, "--rules", &rules, "--credits", &credits];
    let got = answer(&[&files[..], &["--models", models]].concat());
    let nobody = ("(unattributed)", 2.0, 50.0);
    assert_figures(&got, "first", &[("mail", 2.0, 1701.0), ("sms", 0.0, 0.0), ("call", 0.0, 0.0), nobody]);
    // First conversion: ages 14, 7 and 0 days weigh 1, 2, 4: 143, 286, 572 of 1001. Clicks: the open earns nothing.
    let text = std::fs::read_to_string(&credits).unwrap();
    for line in [
        "j1,1,mail,time_decay_7d,143\nj1,2,sms,time_decay_7d,286\nj1,3,call,time_decay_7d,572\n",
        // 40 first, 40 lead, 20 rest: 400.4, 400.4, 200.2: the cent left goes to the earlier of equal fractions.
        "j1,1,mail,u_shaped,401\nj1,2,sms,u_shaped,400\nj1,3,call,u_shaped,200\n",
        // First, lead and, as none is marked, the last touch as the sale: a third each, nothing left to share.
        "j1,1,mail,full_path,334\nj1,2,sms,full_path,334\nj1,3,call,full_path,333\n",
        "j1,1,mail,custom:clicks@2,0\nj1,2,sms,custom:clicks@2,501\nj1,3,call,custom:clicks@2,500\n",
        "j1,1,mail,custom:half,401\nj1,2,sms,custom:half,400\nj1,3,call,custom:half,200\n",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
    assert_figures(
        &got,
        "custom:clicks@2",
        &[
            ("mail", 1.0 / 3.0, 233.0),
            ("sms", 0.5 + 1.0 / 3.0, 501.0 + 234.0),
            ("call", 0.5 + 1.0 / 3.0, 500.0 + 233.0),
            nobody,
        ],
    );
    let short = answer(&[&files[..6], &["--models", "linear", "--lookback-steps", "1"]].concat());
    assert_figures(&short, "linear", &[("mail", 1.0, 700.0), ("sms", 0.0, 0.0), ("call", 1.0, 1001.0), nobody]);
    let seen = attribute(&[&files[..6], &["--models", "custom:clicks@1", "--json"]].concat());
    assert!(String::from_utf8_lossy(&seen.stderr).contains("rule clicks is version 2, not 1"));
}
