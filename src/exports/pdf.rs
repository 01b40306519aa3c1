//! The report of a bundle for printing: what the page says, in PDF.
//!
//! Promises: one input gives one sequence of bytes: no clock, no random id, one embedded font. A letter that the font lacks,
//! or that could hide or reorder what is read, is shown as its number. Must never be taken for the evidence.
#![expect(clippy::float_arithmetic, reason = "places on a page are no money")]

use krilla::geom::Point;
use krilla::page::PageSettings;
use krilla::text::{Font, GlyphId, KrillaGlyph};
use krilla::{Document, SerializeSettings};
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};

use crate::exports::manifest::Manifest;
use crate::exports::page::{PageEntry, summary, visible};
use crate::exports::reports::Section;

/// Roboto Regular, Copyright Google, Apache License 2.0; see `fonts/README.txt`.
const FONT: &[u8] = include_bytes!("fonts/Roboto-Regular.ttf");

/// A4, in points of 1/72 inch; the text also fits on Letter, which is wider and shorter by less than the margins.
const WIDTH: f32 = 595.0;
const HEIGHT: f32 = 842.0;
const MARGIN: f32 = 60.0;
const INDENT: f32 = 14.0;
/// Lines of text are this much higher than their letters.
const LEADING: f32 = 1.4;
/// Letters whose width is looked up once: Latin and its extensions.
const COMMON: u32 = 0x250;
/// Most entries that are written out; the rest are on the page of the bundle.
const ENTRIES_MAX: usize = 500;

/// Why there is no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the report cannot be set")]
pub struct PdfError;

/// Makes the report.
///
/// # Errors
/// [`PdfError`] if the font or a page cannot be set; none of it depends on what is written.
pub fn report(
    manifest: &Manifest,
    head: &[(String, String)],
    sections: &[Section],
    entries: &[PageEntry],
) -> Result<Vec<u8>, PdfError> {
    let mut sheet = Sheet::new()?;
    sheet.text(16.0, 0.0, "Evidence bundle");
    sheet.text(
        9.0,
        0.0,
        "A rendering for reading. The evidence is in the other files; README.txt says how to verify them.",
    );
    for (name, value) in head {
        sheet.text(9.0, INDENT, &format!("{name}: {value}"));
    }
    for (title, lines) in
        [("What verification shows", &manifest.proves), ("What it does not show", &manifest.does_not_prove)]
    {
        sheet.text(12.0, 0.0, title);
        lines.iter().for_each(|line| sheet.text(9.0, INDENT, &format!("\u{2022} {line}")));
    }
    for section in sections {
        sheet.text(12.0, 0.0, &section.title);
        section.notes.iter().for_each(|note| sheet.text(9.0, 0.0, note));
        for row in &section.rows {
            sheet.text(9.0, INDENT, &format!("{}: {}", row.name, row.found.words()));
        }
    }
    if !entries.is_empty() {
        sheet.text(12.0, 0.0, "Entries");
    }
    for entry in entries.iter().take(ENTRIES_MAX) {
        sheet.text(10.0, 0.0, &summary(entry));
        for (pointer, value) in &entry.values {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            sheet.text(8.0, INDENT, &format!("{}: {text}", pointer.trim_start_matches('/')));
        }
    }
    if entries.len() > ENTRIES_MAX {
        let rest = entries.len() - ENTRIES_MAX;
        sheet.text(9.0, 0.0, &format!("{rest} more entries are in index.html."));
    }
    sheet.finish()
}

/// Makes a document of a title and sections, each a heading and its lines: an invoice, a credit note.
///
/// # Errors
/// As [`report`].
pub fn document(title: &str, sections: &[(String, Vec<String>)]) -> Result<Vec<u8>, PdfError> {
    let mut sheet = Sheet::new()?;
    sheet.text(16.0, 0.0, title);
    for (heading, lines) in sections {
        sheet.text(12.0, 0.0, heading);
        lines.iter().for_each(|line| sheet.text(9.0, INDENT, line));
    }
    sheet.finish()
}

/// One line of letters, set.
struct Line {
    size: f32,
    indent: f32,
    text: String,
}

/// Breaks text into lines and lines into pages.
struct Sheet<'a> {
    font: FontRef<'a>,
    /// Glyph and width at size 1 of the letters that nearly all text is made of, by their number; none where the font has none.
    common: Vec<Option<(u32, f32)>>,
    lines: Vec<Line>,
}

impl Sheet<'_> {
    fn new() -> Result<Sheet<'static>, PdfError> {
        let font = FontRef::new(FONT).map_err(|_| PdfError)?;
        let common = (0..COMMON).map(|number| measured(&font, char::from_u32(number)?)).collect();
        Ok(Sheet { font, common, lines: Vec::new() })
    }

    /// Glyph and width at size 1 of a letter.
    fn measure(&self, letter: char) -> Option<(u32, f32)> {
        let at = usize::try_from(u32::from(letter)).unwrap_or(usize::MAX);
        self.common.get(at).copied().unwrap_or_else(|| measured(&self.font, letter))
    }

    /// Adds a paragraph.
    fn text(&mut self, size: f32, indent: f32, text: &str) {
        if size > 11.0 {
            self.lines.push(Line { size, indent, text: String::new() });
        }
        for paragraph in visible(text).split('\n') {
            self.paragraph(size, indent, &self.drawable(paragraph));
        }
    }

    /// Letters that the font lacks, as their number.
    fn drawable(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for letter in text.chars() {
            let letter = if letter == '\t' { ' ' } else { letter };
            match self.measure(letter) {
                Some(_) => out.push(letter),
                None => out.push_str(&format!("[U+{:04X}]", u32::from(letter))),
            }
        }
        out
    }

    /// Breaks at spaces, and inside a word that is longer than a line.
    fn paragraph(&mut self, size: f32, indent: f32, text: &str) {
        let room = WIDTH - 2.0 * MARGIN - indent;
        let (mut line, mut width, mut space) = (String::new(), 0.0, None);
        let mut lines = Vec::new();
        for letter in text.chars() {
            if width + self.advance(letter) * size > room {
                let at = space.take().unwrap_or(line.len());
                let rest = line.split_off(at);
                lines.push(std::mem::take(&mut line));
                line.push_str(rest.trim_start());
                width = line.chars().map(|letter| self.advance(letter) * size).sum();
            }
            if letter == ' ' {
                space = Some(line.len());
            }
            line.push(letter);
            width += self.advance(letter) * size;
        }
        lines.push(line);
        self.lines.extend(lines.into_iter().map(|text| Line { size, indent, text }));
    }

    /// Width of a letter at size 1.
    fn advance(&self, letter: char) -> f32 {
        self.measure(letter).map_or(0.0, |(_, width)| width)
    }

    fn glyphs(&self, text: &str) -> Vec<KrillaGlyph> {
        let glyph = |(at, letter): (usize, char)| {
            let (id, x_advance) = self.measure(letter).unwrap_or_default();
            KrillaGlyph {
                glyph_id: GlyphId::new(id),
                text_range: at..at + letter.len_utf8(),
                x_advance,
                x_offset: 0.0,
                y_offset: 0.0,
                y_advance: 0.0,
                location: None,
            }
        };
        text.char_indices().map(glyph).collect()
    }

    fn finish(self) -> Result<Vec<u8>, PdfError> {
        let font = Font::new(FONT.into(), 0).ok_or(PdfError)?;
        let mut document =
            Document::new_with(SerializeSettings { xmp_metadata: false, ..SerializeSettings::default() });
        let mut lines = self.lines.iter().peekable();
        while lines.peek().is_some() {
            let mut page = document.start_page_with(PageSettings::from_wh(WIDTH, HEIGHT).ok_or(PdfError)?);
            let mut surface = page.surface();
            let mut down = MARGIN;
            while let Some(line) = lines.next_if(|line| down + line.size * LEADING <= HEIGHT - MARGIN) {
                down += line.size * LEADING;
                let glyphs = self.glyphs(&line.text);
                if !glyphs.is_empty() {
                    let place = Point::from_xy(MARGIN + line.indent, down);
                    surface.draw_glyphs(place, &glyphs, font.clone(), &line.text, line.size, false);
                }
            }
            surface.finish();
            page.finish();
        }
        document.finish().map_err(|_| PdfError)
    }
}

fn measured(font: &FontRef<'_>, letter: char) -> Option<(u32, f32)> {
    let glyph = font.charmap().map(letter)?;
    let widths = font.glyph_metrics(Size::new(1.0), LocationRef::default());
    Some((glyph.to_u32(), widths.advance_width(glyph)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_its_page_and_no_letter_is_lost() {
        let mut sheet = Sheet::new().unwrap();
        let long = "W".repeat(400);
        let text = format!("a sentence with spaces that is broken where they are, again and again and again; {long}");
        sheet.text(9.0, INDENT, &text);
        assert!(sheet.lines.len() > 5);
        for line in &sheet.lines {
            let width: f32 = line.text.chars().map(|letter| sheet.advance(letter) * line.size).sum();
            assert!(width <= WIDTH - 2.0 * MARGIN - INDENT, "{}", line.text);
        }
        let set: String =
            sheet.lines.iter().flat_map(|line| line.text.chars()).filter(|letter| *letter != ' ').collect();
        assert_eq!(set, text.replace(' ', ""));
    }

    #[test]
    fn letters_that_hide_or_are_lacking_are_shown_as_numbers() {
        let mut sheet = Sheet::new().unwrap();
        sheet.text(9.0, 0.0, "a\u{202e}b \u{4e2d} \u{e9}");
        assert_eq!(sheet.lines[0].text, "a[U+202E]b [U+4E2D] \u{e9}");
    }

    #[test]
    fn one_report_has_one_sequence_of_bytes() {
        let make = || {
            let mut sheet = Sheet::new().unwrap();
            (0..200).for_each(|number| sheet.text(9.0, 0.0, &format!("line {number}")));
            sheet.finish().unwrap()
        };
        let report = make();
        assert!(report.starts_with(b"%PDF-") && report.len() < 200_000, "{}", report.len());
        assert_eq!(report, make());
        assert!(!String::from_utf8_lossy(&report).contains("CreationDate"));
    }
}
