//! Our files, checked by a program that shares no code with us: `tests/go`, on the Go team's own packages.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tallystick::chain::cosign::cosign;
use tallystick::chain::note::{KeyKind, Note, VerifierKey};
use tallystick::crypto::secret::Secret;
use tallystick::crypto::sign::SigningKey;

use crate::log_folder::{Log, ORIGIN, chain, verifier_key, write};

/// Where Debian's golang-golang-x-mod-dev puts the packages.
const GOPATH: &str = "/usr/share/gocode";

/// The checker, built once; none where Go or its packages are absent, which is an error in CI.
fn checker() -> Option<&'static Path> {
    static CHECKER: OnceLock<Option<PathBuf>> = OnceLock::new();
    CHECKER.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = target.join("verifylog");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&program).arg(".").current_dir(source);
    go.env("GO111MODULE", "off").env("GOPATH", GOPATH).env("GOCACHE", target.join("go-cache")).env("GOFLAGS", "");
    let problem = match go.output() {
        Ok(output) if output.status.success() => return Some(program),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    assert!(std::env::var_os("CI").is_none(), "the Go checker must be built in CI: {problem}");
    // Straight to the stream: what the print macros write in a passing test is never shown.
    let _ = writeln!(
        std::io::stderr(),
        "\nSKIPPED: no independent check of the log without Go and golang-golang-x-mod-dev: {problem}"
    );
    None
}

/// Runs the checker; gives its line if it accepts, and its line as the error if it refuses.
fn check(arguments: &[(&str, &str)]) -> Option<Result<String, String>> {
    let mut command = Command::new(checker()?);
    command.args(["-vkey", &verifier_key().to_string()]);
    for (name, value) in arguments {
        command.args([name, value]);
    }
    let output = command.output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    match output.status.code() {
        Some(0) => {
            assert!(line.starts_with("OK: "), "{line}");
            Some(Ok(line))
        }
        Some(1) => {
            assert!(line.starts_with("FAILED: "), "{line}");
            Some(Err(line))
        }
        status => panic!("{status:?}: {line}"),
    }
}

/// Asserts that the checker accepts, or that there is no checker.
fn accepts(arguments: &[(&str, &str)], expected: &str) {
    if let Some(result) = check(arguments) {
        let line = result.unwrap();
        assert!(line.contains(expected), "{line}");
    }
}

/// Asserts that the checker refuses for the expected reason, or that there is no checker.
fn refuses(arguments: &[(&str, &str)], expected: &str) {
    if let Some(result) = check(arguments) {
        let line = result.unwrap_err();
        assert!(line.contains(expected), "{line}");
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// A folder with a log in it, and what undoes a forgery.
struct Folder {
    folder: tempfile::TempDir,
    log: Log,
}

impl Folder {
    fn of(log: Log) -> Folder {
        let folder = tempfile::tempdir().unwrap();
        log.write(folder.path());
        Folder { folder, log }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn dir(&self) -> [(&str, &str); 1] {
        [("-dir", self.folder.path().to_str().unwrap())]
    }

    /// Flips a bit, expects a refusal, and flips it back.
    fn refuses_flip(&self, name: &str, at: usize, expected: &str) {
        flip(&self.path(name), at);
        refuses(&self.dir(), expected);
        flip(&self.path(name), at);
        accepts(&self.dir(), "from hash tiles and from entries");
    }
}

#[test]
fn go_verifies_logs_of_every_shape() {
    for size in [1, 2, 255, 256, 257, 511, 1000] {
        let folder = Folder::of(Log::opaque(size));
        accepts(&folder.dir(), &format!("size {size} "));
    }
}

#[test]
fn go_verifies_a_chain_of_entries() {
    let folder = Folder::of(Log::over(chain(600, 7)));
    accepts(&folder.dir(), "size 600 ");
}

#[test]
fn go_verifies_seventy_thousand_entries_over_three_levels_and_refuses_each_forgery() {
    let folder = Folder::of(Log::opaque(70_000));
    assert!(folder.path("tile/2/000.p/1").exists() && folder.path("tile/entries/273.p/112").exists());
    accepts(&folder.dir(), "size 70000 ");
    folder.refuses_flip("tile/0/100", 31, "hash tiles: downloaded inconsistent tile");
    folder.refuses_flip("tile/1/000", 8191, "hash tiles: downloaded inconsistent tile");
    folder.refuses_flip("tile/1/001.p/17", 0, "hash tiles: ");
    folder.refuses_flip("tile/2/000.p/1", 0, "hash tiles: ");
    folder.refuses_flip("tile/entries/100", 5, "entry 25600 does not hash to its leaf");
    folder.refuses_flip("tile/entries/273.p/112", 1, "entry bundles: ");
    std::fs::remove_file(folder.path("tile/entries/272")).unwrap();
    refuses(&folder.dir(), "entry bundles: ");
}

#[test]
fn go_refuses_a_forged_checkpoint() {
    let folder = Folder::of(Log::opaque(300));
    let checkpoint = folder.path("checkpoint");
    let signed = std::fs::read_to_string(&checkpoint).unwrap();
    write(&checkpoint, signed.replace("\n300\n", "\n299\n").as_bytes());
    refuses(&folder.dir(), "invalid signature for key");
    let line = signed.lines().last().unwrap();
    let at = signed.rfind(line).unwrap() + line.len() - 20;
    let mut forged = signed.clone().into_bytes();
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    write(&checkpoint, &forged);
    refuses(&folder.dir(), "invalid signature for key");
    let stranger = SigningKey::from_seed(&Secret::new([43; 32]));
    let by_stranger = folder.log.checkpoint(300).sign(&[&stranger]).unwrap();
    write(&checkpoint, by_stranger.to_string().as_bytes());
    refuses(&folder.dir(), "no verifiable signatures");
    // A true signature over another log's root: only the tiles can tell.
    write(&checkpoint, Log::over(chain(300, 3)).signed(300).as_bytes());
    refuses(&folder.dir(), "hash tiles: ");
}

#[test]
fn go_verifies_inclusion_proofs_and_refuses_their_twins() {
    let folder = Folder::of(Log::over(chain(777, 5)));
    let (proof, entry) = (folder.path("x.tlog-proof"), folder.path("x.entry"));
    let arguments = [("-proof", proof.to_str().unwrap()), ("-entry", entry.to_str().unwrap())];
    for index in [0, 1, 255, 256, 511, 512, 767, 768, 776] {
        write(&entry, &folder.log.entries[index]);
        write(&proof, folder.log.inclusion(index as u64).to_string().as_bytes());
        accepts(&arguments, &format!("entry stands at {index} of 777"));
    }
    write(&proof, folder.log.inclusion(775).to_string().as_bytes());
    refuses(&arguments, "proof: ");
    let mut file = folder.log.inclusion(776);
    file.hashes.swap(0, 1);
    write(&proof, file.to_string().as_bytes());
    refuses(&arguments, "proof: ");
    let mut file = folder.log.inclusion(776);
    file.checkpoint = file.checkpoint.replace("\n777\n", "\n778\n");
    write(&proof, file.to_string().as_bytes());
    refuses(&arguments, "invalid signature for key");
    write(&proof, folder.log.inclusion(776).to_string().as_bytes());
    flip(&entry, 40);
    refuses(&arguments, "proof: ");
}

#[test]
fn go_verifies_consistency_proofs_and_refuses_their_twins() {
    let folder = Folder::of(Log::opaque(777));
    let (proof, old) = (folder.path("consistency"), folder.path("old"));
    let arguments = [("-consistency", proof.to_str().unwrap()), ("-old", old.to_str().unwrap())];
    for size in [1, 2, 255, 256, 300, 512, 776, 777] {
        write(&old, folder.log.signed(size).as_bytes());
        write(&proof, folder.log.consistency(size).to_string().as_bytes());
        accepts(&arguments, &format!("777 extends {size}"));
    }
    write(&old, folder.log.signed(300).as_bytes());
    refuses(&arguments, "another size");
    let mut file = folder.log.consistency(300);
    file.hashes.pop();
    write(&proof, file.to_string().as_bytes());
    refuses(&arguments, "consistency: ");
    write(&proof, folder.log.consistency(300).to_string().as_bytes());
    write(&old, Log::over(chain(300, 3)).signed(300).as_bytes());
    refuses(&arguments, "consistency: ");
}

#[test]
fn go_verifies_a_cosignature_and_refuses_a_forged_time() {
    let folder = Folder::of(Log::opaque(300));
    let witness = SigningKey::from_seed(&Secret::new([7; 32]));
    let name = "witness.example.com/w1";
    let key = VerifierKey::new(name, KeyKind::Cosignature, witness.public()).unwrap().to_string();
    let mut note = Note::parse(folder.log.signed(300).as_bytes()).unwrap();
    let mut line = cosign(name, &witness, 1_793_724_000, note.text()).unwrap();
    note.push(line.clone());
    write(&folder.path("checkpoint"), note.to_string().as_bytes());
    let arguments = [("-cosigner", key.as_str()), folder.dir()[0]];
    accepts(&arguments, &format!("{ORIGIN} size 300 "));
    write(&folder.path("checkpoint"), folder.log.signed(300).as_bytes());
    refuses(&arguments, "1 good signatures, want 2");
    line.signature[7] ^= 1;
    let mut note = Note::parse(folder.log.signed(300).as_bytes()).unwrap();
    note.push(line);
    write(&folder.path("checkpoint"), note.to_string().as_bytes());
    refuses(&arguments, "invalid signature for key");
}
