use super::*;

fn all_cases() -> Vec<Vector> {
    builtin_cases().unwrap()
}

/// Acceptance vectors that do not live in this repository, where they are beside it.
fn outside_vectors() -> Vec<Vector> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/decisions.json");
    let near = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors/decisions.json");
    [path, near]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .map_or_else(Vec::new, |text| vectors(&text).unwrap().into_iter().map(Result::unwrap).collect())
}

fn wrong(pack: &Pack, vectors: &[Vector]) -> Vec<String> {
    let judged = vectors.iter().map(|vector| (vector, evaluate(pack, &vector.facts)));
    judged
        .filter(|(vector, answer)| !compare(&vector.expected, answer))
        .map(|(vector, answer)| {
            let reasons: Vec<&str> = answer.reasons.iter().map(|code| code.name()).collect();
            format!(
                "{}: got {} {reasons:?} {:?} {:?}, want {:?}",
                vector.id, answer.allow, answer.next_allowed_at, answer.honor_by, vector.expected
            )
        })
        .collect()
}

/// Routing judges all sellers whom nobody names with one question. The twin: whom a person names is judged otherwise somewhere.
#[test]
fn sellers_whom_nothing_names_are_judged_alike() {
    let (pack, mut otherwise) = (builtin().unwrap(), 0);
    let cases: Vec<Vector> = all_cases().into_iter().chain(outside_vectors()).collect();
    for case in &cases {
        let judged = |seller: &str| {
            let mut facts = case.facts.clone();
            seller.clone_into(&mut facts.contact.seller);
            refusals(pack, &facts)
        };
        let [one, other] = ["nobody", "another seller"].map(|seller| {
            assert!(!case.facts.names(seller), "{}", case.id);
            judged(seller)
        });
        assert_eq!(one, other, "{}", case.id);
        let own = &case.facts.contact.seller;
        if judged(own) != one {
            assert!(case.facts.names(own), "{}: {own} is judged otherwise and not named", case.id);
            otherwise += 1;
        }
    }
    assert!(otherwise > 20, "{otherwise} of {}", cases.len());
}

#[test]
fn the_acceptance_vectors_hold() {
    let vectors = outside_vectors();
    if vectors.is_empty() {
        eprintln!("no acceptance vectors beside this repository: only the cases of the packs were run");
    }
    let wrong = wrong(builtin().unwrap(), &vectors);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}

#[test]
fn the_cases_of_the_packs_hold() {
    let cases = all_cases();
    assert!(cases.len() > 100, "{}", cases.len());
    let wrong = wrong(builtin().unwrap(), &cases);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn without_any_one_row_a_case_fails() {
    let pack = builtin().unwrap();
    let cases = all_cases();
    let ids = pack.ids();
    let silent: Vec<&&str> = ids.iter().filter(|id| wrong(&pack.without(id), &cases).is_empty()).collect();
    eprintln!("{} rows removed one at a time, {} unseen", ids.len(), silent.len());
    assert!(silent.is_empty(), "no case notices when these rows are gone: {silent:?}");
    // The control: with no row removed, no case fails.
    assert!(wrong(&pack.without("no such row"), &cases).is_empty());
}
