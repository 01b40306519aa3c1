// Verifylog checks a transparency log folder and proof files with the Go team's own packages, and none of our code.
//
//	verifylog -vkey KEY [-cosigner KEY] [-dir DIR] [-proof FILE -entry FILE] [-consistency FILE -old CHECKPOINT]
//
// DIR is laid out as C2SP tlog-tiles: checkpoint, tile/<L>/<N>[.p/<W>], tile/entries/<N>[.p/<W>]. The checkpoint's note is
// opened with golang.org/x/mod/sumdb/note. The tree is read from the hash tiles through tlog.TileHashReader, which checks
// each against the root, and is built a second time from the entry bundles. A .tlog-proof file is checked for the entry
// in FILE, a consistency file (the body of a C2SP witness request) against an older checkpoint. It prints one line and
// exits 0, or says why not and exits 1.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

var (
	vkey        = flag.String("vkey", "", "verifier key of the log")
	cosigner    = flag.String("cosigner", "", "verifier key of a cosigner (type 0x04) that must have signed")
	dir         = flag.String("dir", "", "folder of the log")
	proof       = flag.String("proof", "", "a .tlog-proof file")
	entry       = flag.String("entry", "", "the entry that the proof is about")
	consistency = flag.String("consistency", "", "a consistency file")
	old         = flag.String("old", "", "the older signed checkpoint")
)

func main() {
	flag.Parse()
	done, err := run()
	if err != nil {
		fmt.Printf("FAILED: %v\n", err)
		os.Exit(1)
	}
	fmt.Printf("OK: %s\n", strings.Join(done, "; "))
}

func run() (done []string, err error) {
	known, origin, err := verifiers()
	if err != nil {
		return nil, err
	}
	steps := []struct {
		wanted string
		check  func(note.Verifiers, string) (string, error)
	}{{*dir, checkFolder}, {*proof, checkProof}, {*consistency, checkConsistency}}
	for _, step := range steps {
		if step.wanted == "" {
			continue
		}
		said, err := step.check(known, origin)
		if err != nil {
			return nil, err
		}
		done = append(done, said)
	}
	if len(done) == 0 {
		return nil, errors.New("nothing to check: give -dir, -proof or -consistency")
	}
	return done, nil
}

func verifiers() (note.Verifiers, string, error) {
	verifier, err := note.NewVerifier(*vkey)
	if err != nil {
		return nil, "", fmt.Errorf("verifier key: %v", err)
	}
	list := []note.Verifier{verifier}
	if *cosigner != "" {
		witness, err := newCosigner(*cosigner)
		if err != nil {
			return nil, "", err
		}
		list = append(list, witness)
	}
	return note.VerifierList(list...), verifier.Name(), nil
}

// openCheckpoint verifies the signatures; the log's own must be there, and the cosigner's if one was given.
func openCheckpoint(text []byte, known note.Verifiers, origin string) (tlog.Tree, error) {
	var tree tlog.Tree
	opened, err := note.Open(text, known)
	if err != nil {
		return tree, fmt.Errorf("checkpoint: %v", err)
	}
	wanted := 1
	if *cosigner != "" {
		wanted = 2
	}
	if len(opened.Sigs) != wanted {
		return tree, fmt.Errorf("checkpoint: %d good signatures, want %d", len(opened.Sigs), wanted)
	}
	lines := strings.Split(strings.TrimSuffix(opened.Text, "\n"), "\n")
	if len(lines) != 3 || lines[0] != origin {
		return tree, errors.New("checkpoint: not origin, size and root")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, fmt.Errorf("checkpoint: size: %v", err)
	}
	if tree.Hash, err = tlog.ParseHash(lines[2]); err != nil {
		return tree, fmt.Errorf("checkpoint: root: %v", err)
	}
	return tree, nil
}

func checkFolder(known note.Verifiers, origin string) (string, error) {
	text, err := os.ReadFile(filepath.Join(*dir, "checkpoint"))
	if err != nil {
		return "", err
	}
	tree, err := openCheckpoint(text, known, origin)
	if err != nil {
		return "", err
	}
	leaves, err := checkHashTiles(tree)
	if err != nil {
		return "", fmt.Errorf("hash tiles: %v", err)
	}
	if err := checkBundles(tree, leaves); err != nil {
		return "", fmt.Errorf("entry bundles: %v", err)
	}
	return fmt.Sprintf("%s size %d root %v, from hash tiles and from entries", origin, tree.N, tree.Hash), nil
}

// checkHashTiles reads every leaf hash through tlog.TileHashReader, which accepts none that the root does not cover, and
// then every other tile that a tree of this size has.
func checkHashTiles(tree tlog.Tree) ([]tlog.Hash, error) {
	reader := tlog.TileHashReader(tree, tileReader{})
	indexes := make([]int64, tree.N)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, int64(i))
	}
	leaves, err := reader.ReadHashes(indexes)
	if err != nil {
		return nil, err
	}
	root, err := tlog.TreeHash(tree.N, reader)
	if err != nil {
		return nil, err
	}
	if root != tree.Hash {
		return nil, errors.New("another root")
	}
	for _, tile := range tilesAt(tree.N) {
		want, err := tlog.ReadTileData(tile, reader)
		if err != nil {
			return nil, err
		}
		found, err := os.ReadFile(filepath.Join(*dir, c2spPath(tile)))
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(found, want) {
			return nil, fmt.Errorf("%s differs", c2spPath(tile))
		}
	}
	return leaves, nil
}

// tilesAt lists the hash tiles of a tree: the full ones of each level, and the partial one at its end. (tlog.NewTiles lists
// narrower partial tiles too, which a log need not keep.)
func tilesAt(size int64) (tiles []tlog.Tile) {
	for level := 0; size>>(height*level) > 0; level++ {
		hashes := size >> (height * level)
		full := hashes >> height
		for n := int64(0); n < full; n++ {
			tiles = append(tiles, tlog.Tile{H: height, L: level, N: n, W: 1 << height})
		}
		if rest := hashes - full<<height; rest > 0 {
			tiles = append(tiles, tlog.Tile{H: height, L: level, N: full, W: int(rest)})
		}
	}
	return tiles
}

// checkBundles builds the tree a second time, from the entries alone.
func checkBundles(tree tlog.Tree, leaves []tlog.Hash) error {
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			out[i] = stored[index]
		}
		return out, nil
	})
	for position := int64(0); position < tree.N; {
		width := tree.N - position
		if width > 1<<height {
			width = 1 << height
		}
		tile := tlog.Tile{H: height, L: -1, N: position >> height, W: int(width)}
		bundle, err := os.ReadFile(filepath.Join(*dir, c2spPath(tile)))
		if err != nil {
			return err
		}
		for end := position + width; position < end; position++ {
			if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
				return fmt.Errorf("entry %d is cut short", position)
			}
			length := int(binary.BigEndian.Uint16(bundle))
			record := bundle[2 : 2+length]
			bundle = bundle[2+length:]
			if tlog.RecordHash(record) != leaves[position] {
				return fmt.Errorf("entry %d does not hash to its leaf", position)
			}
			hashes, err := tlog.StoredHashes(position, record, read)
			if err != nil {
				return err
			}
			stored = append(stored, hashes...)
		}
		if len(bundle) != 0 {
			return fmt.Errorf("%d bytes after entry %d", len(bundle), position-1)
		}
	}
	root, err := tlog.TreeHash(tree.N, read)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return errors.New("another root")
	}
	return nil
}

func checkProof(known note.Verifiers, origin string) (string, error) {
	record, err := os.ReadFile(*entry)
	if err != nil {
		return "", err
	}
	lines, checkpoint, err := readProof(*proof)
	if err != nil {
		return "", err
	}
	if len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return "", errors.New("proof: not a tlog-proof")
	}
	lines = lines[1:]
	if strings.HasPrefix(lines[0], "extra ") {
		lines = lines[1:]
	}
	index, hashes, err := numberAndHashes(lines, "index ")
	if err != nil {
		return "", fmt.Errorf("proof: %v", err)
	}
	tree, err := openCheckpoint(checkpoint, known, origin)
	if err != nil {
		return "", err
	}
	if err := tlog.CheckRecord(hashes, tree.N, tree.Hash, index, tlog.RecordHash(record)); err != nil {
		return "", fmt.Errorf("proof: %v", err)
	}
	return fmt.Sprintf("entry stands at %d of %d", index, tree.N), nil
}

func checkConsistency(known note.Verifiers, origin string) (string, error) {
	text, err := os.ReadFile(*old)
	if err != nil {
		return "", err
	}
	before, err := openCheckpoint(text, known, origin)
	if err != nil {
		return "", fmt.Errorf("old %v", err)
	}
	lines, checkpoint, err := readProof(*consistency)
	if err != nil {
		return "", err
	}
	size, hashes, err := numberAndHashes(lines, "old ")
	if err != nil {
		return "", fmt.Errorf("consistency: %v", err)
	}
	after, err := openCheckpoint(checkpoint, known, origin)
	if err != nil {
		return "", err
	}
	if size != before.N {
		return "", errors.New("consistency: the proof starts from another size than the old checkpoint")
	}
	if err := tlog.CheckTree(hashes, after.N, after.Hash, before.N, before.Hash); err != nil {
		return "", fmt.Errorf("consistency: %v", err)
	}
	return fmt.Sprintf("%d extends %d", after.N, before.N), nil
}

// readProof gives the lines before the first empty line, and the checkpoint after it.
func readProof(path string) ([]string, []byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	head, checkpoint, found := bytes.Cut(text, []byte("\n\n"))
	if !found {
		return nil, nil, fmt.Errorf("%s has no checkpoint", filepath.Base(path))
	}
	return strings.Split(string(head), "\n"), checkpoint, nil
}

func numberAndHashes(lines []string, label string) (int64, []tlog.Hash, error) {
	if !strings.HasPrefix(lines[0], label) {
		return 0, nil, fmt.Errorf("no line %q", label)
	}
	number, err := strconv.ParseInt(strings.TrimPrefix(lines[0], label), 10, 64)
	if err != nil {
		return 0, nil, err
	}
	var hashes []tlog.Hash
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return 0, nil, err
		}
		hashes = append(hashes, hash)
	}
	return number, hashes, nil
}

// tileReader reads tiles from the folder; all of a log that is checked as a whole are there.
type tileReader struct{}

func (tileReader) Height() int { return height }

func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

func (tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		var err error
		if data[i], err = os.ReadFile(filepath.Join(*dir, c2spPath(tile))); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// c2spPath turns tile/8/<L>/<N> and tile/8/data/<N> of the Go checksum database into the paths of C2SP tlog-tiles, which
// have no height and call records entries.
func c2spPath(tile tlog.Tile) string {
	rest := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", height))
	if after := strings.TrimPrefix(rest, "data/"); after != rest {
		rest = "entries/" + after
	}
	return "tile/" + rest
}

// cosignerKey verifies C2SP tlog-cosignature type 0x04, which the sumdb packages do not know.
type cosignerKey struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newCosigner(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("cosigner key: not a verifier key")
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 33 || key[0] != 4 {
		return nil, errors.New("cosigner key: not of type 0x04")
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	hash := binary.BigEndian.Uint32(sum[:4])
	if fmt.Sprintf("%08x", hash) != parts[1] {
		return nil, errors.New("cosigner key: wrong id")
	}
	return cosignerKey{parts[0], hash, key[1:]}, nil
}

func (c cosignerKey) Name() string    { return c.name }
func (c cosignerKey) KeyHash() uint32 { return c.hash }
func (c cosignerKey) Verify(text, signature []byte) bool {
	if len(signature) != 72 {
		return false
	}
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(signature[:8]), text)
	return ed25519.Verify(c.key, []byte(message), signature[8:])
}
