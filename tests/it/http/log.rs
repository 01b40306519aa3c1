//! Proofs and tiles, checked with the public verifiers.

use std::time::Duration;

use serde_json::{Value, json};
use tallystick::chain::checkpoint::Checkpoint;
use tallystick::chain::leaf::leaf_hash;
use tallystick::chain::note::VerifierKey;
use tallystick::chain::path::verify_consistency;
use tallystick::chain::proof::{ConsistencyFile, InclusionFile};
use tallystick::chain::tile::{Tile, bundle_entries, tile_hashes, tiles_at};
use tallystick::chain::tree::root_of;
use tallystick::crypto::hash::Digest;
use tallystick::policy::access::Role;

use super::{Served, served};
use crate::support::consent;

fn key(served: &Served) -> VerifierKey {
    tallystick::jobs::checkpoint::verifier_key(&served.bench.ledger).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_come_with_proofs_that_verify() {
    let served = served(401).await;
    let events = json!([consent("a", "lead-1", "+16145550101"), consent("b", "lead-2", "+16145550102")]);
    let answer = served.post_with("/v1/events?proof=wait", &[("prefer", "wait=10")], &events).await.ok(200);
    for result in answer["results"].as_array().unwrap() {
        let file = InclusionFile::parse(result["proof"].as_str().unwrap().as_bytes()).unwrap();
        let leaf: Digest = result["leaf"].as_str().unwrap().parse().unwrap();
        assert_eq!(file.index, result["position"].as_u64().unwrap());
        file.verify(&leaf, &[key(&served)]).unwrap();
        assert!(file.verify(&Digest::from_bytes([0; 32]), &[key(&served)]).is_err());
        let path = format!("/v1/events/{}/proof", file.index);
        let answer = served.get(&path).await;
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        InclusionFile::parse(&answer.bytes).unwrap().verify(&leaf, &[key(&served)]).unwrap();
    }
    served.get("/v1/events/999/proof").await.refused(404, "not_found");
    let many = json!(vec![json!({}); 300]);
    served.post_with("/v1/events?proof=wait", &[], &many).await.refused(400, "proof_batch_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_readable_as_tiles() {
    let served = served(402).await;
    let batch: Vec<Value> = (0..400).map(|n| consent(&n.to_string(), &format!("lead-{n}"), "+16145550101")).collect();
    assert_eq!(served.post(&json!(batch)).await.ok(200)["recorded"], 400);
    let size = served.bench.ledger.size();
    served.state.services()[0].checkpoints.wait_for(size, Duration::from_secs(10)).await.unwrap();
    let id = served.bench.ledger.id;
    let note = served.get(&format!("/log/{id}/checkpoint")).await;
    let (checkpoint, _) = Checkpoint::open(&note.bytes, &[key(&served)]).unwrap();
    assert_eq!(checkpoint.size, size);
    let mut leaves = Vec::new();
    let mut bundles = Vec::new();
    for tile in tiles_at(size) {
        let answer =
            served.call(Role::Auditor, "GET", &format!("/log/{id}/{tile}"), &[], axum::body::Body::empty()).await;
        assert_eq!(answer.status, 200, "{tile}: {}", answer.text());
        assert!(answer.header("cache-control").contains("immutable"));
        match tile.kind {
            tallystick::chain::tile::TileKind::Entries => {
                bundles.extend(bundle_entries(&answer.bytes, tile.width).unwrap().into_iter().map(leaf_hash));
            }
            tallystick::chain::tile::TileKind::Hashes(0) => {
                leaves.extend(tile_hashes(&answer.bytes, tile.width).unwrap())
            }
            tallystick::chain::tile::TileKind::Hashes(_) => {
                let hashes = tile_hashes(&answer.bytes, tile.width).unwrap();
                assert_eq!(hashes[0], root_of(leaves[..256].iter().copied()));
            }
        }
    }
    assert_eq!(root_of(leaves.iter().copied()), checkpoint.root);
    assert_eq!(leaves, bundles);
    let last = size / 256;
    let beyond = [format!("0/{last:03}.p/{}", size % 256 + 1), format!("0/{:03}", last + 1), format!("0/{last:03}")];
    for beyond in beyond.into_iter().chain(["9/000".to_owned(), "0/1".to_owned()]) {
        served.get(&format!("/log/{id}/tile/{beyond}")).await.refused(404, "not_found");
    }
    let older = Tile::parse("tile/0/001.p/3").unwrap();
    assert_eq!(served.get(&format!("/log/{id}/{older}")).await.bytes.len(), 96, "prefixes of a partial tile stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn consistency_leads_from_any_size_to_the_published_one() {
    let served = served(403).await;
    let batch: Vec<Value> = (0..40).map(|n| consent(&n.to_string(), &format!("lead-{n}"), "+16145550101")).collect();
    served.post(&json!(batch)).await.ok(200);
    let size = served.bench.ledger.size();
    served.state.services()[0].checkpoints.wait_for(size, Duration::from_secs(10)).await.unwrap();
    for from in [1, 2, 7, size] {
        let answer = served.get(&format!("/v1/consistency?from={from}")).await.ok(200);
        let digest = |value: &Value| value.as_str().unwrap().parse::<Digest>().unwrap();
        let hashes: Vec<Digest> = answer["hashes"].as_array().unwrap().iter().map(digest).collect();
        let roots = (digest(&answer["from_root"]), digest(&answer["to_root"]));
        verify_consistency(from, size, &hashes, &roots.0, &roots.1).unwrap();
        let file = ConsistencyFile::parse(answer["file"].as_str().unwrap().as_bytes()).unwrap();
        let old = Checkpoint::new(&served.bench.ledger.origin, from, roots.0).unwrap();
        assert_eq!(file.verify(&old, &[key(&served)]).unwrap().root, roots.1);
    }
    served.get("/v1/consistency").await.refused(400, "parameter_invalid");
    served.get("/v1/consistency?from=9&to=8").await.refused(400, "parameter_invalid");
    served.get(&format!("/v1/consistency?from=1&to={}", size + 1)).await.refused(503, "checkpoint_behind");
}
