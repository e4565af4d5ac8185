//! A document to print or to file (PDF 1.7, ISO 32000-1): A4 across, the headings on every page, each
//! page numbered. The letters are embedded and can be searched and copied.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::mem;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use pdf_writer::types::{CidFontType, FontFlags, SystemInfo, UnicodeCmap};
use pdf_writer::{Content, Filter, Finish as _, Name, Rect, Ref, Str, TextStr};
use subsetter::GlyphRemapper;

use super::face::Face;
use super::typeset::lines;
use super::{About, Error, Row};

/// Some 300 pages: more is read in a sheet, and a document is put together in memory.
pub(super) const ROWS_MAX: usize = 10_000;

/// A4 across, in points.
const PAGE: (f32, f32) = (841.89, 595.28);
const MARGIN: f32 = 36.0;
const SIZE: f32 = 8.0;
const LEADING: f32 = 10.5;
/// Above and below the text of a row.
const PADDING: f32 = 3.0;
/// Of one cell: an entry is one glance.
const LINES_MAX: usize = 4;
/// Where the foot stands.
const FOOT: f32 = 24.0;
const FONT: Name<'static> = Name(b"F1");
const FONT_NAME: Name<'static> = Name(b"STRAIL+Ubuntu-Light");
const SYSTEM: SystemInfo<'static> = SystemInfo {
    registry: Str(b"Adobe"),
    ordering: Str(b"Identity"),
    supplement: 0,
};

/// A column: its heading, its share of the width, its text.
struct Column {
    heading: &'static str,
    share: f32,
    text: fn(&Row) -> String,
}

const COLUMNS: [Column; 8] = [
    column("Date (UTC)", 1.2, |row| {
        row.date.plainly().replace(" UTC", "")
    }),
    column("Client", 1.5, |row| {
        format!("{} {}", row.client, row.client_id)
    }),
    column("User", 1.1, |row| row.user.clone()),
    column("Contact Method", 0.8, |row| row.method.to_owned()),
    column("Type", 2.2, |row| joined(&row.type_name, &row.description)),
    column("Contact Type", 1.3, |row| row.contact_type.clone()),
    column("Status", 2.0, |row| joined(&row.status, &row.reason)),
    column("Channel", 0.8, |row| row.channel.to_owned()),
];

const fn column(heading: &'static str, share: f32, text: fn(&Row) -> String) -> Column {
    Column {
        heading,
        share,
        text,
    }
}

fn joined(first: &str, second: &str) -> String {
    if first.is_empty() || second.is_empty() {
        format!("{first}{second}")
    } else {
        format!("{first}: {second}")
    }
}

/// A document in the making.
pub struct Pdf {
    about: About,
    face: Face,
    used: GlyphRemapper,
    characters: BTreeMap<u16, char>,
    /// What is on the pages that are full, compressed.
    pages: Vec<Vec<u8>>,
    page: Content,
    /// Where the next row begins, from below.
    y: f32,
    rows: usize,
}

// By hand: what it holds is not for logs.
impl fmt::Debug for Pdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pdf({} rows)", self.rows)
    }
}

impl Pdf {
    pub fn new(about: About) -> Result<Self, Error> {
        let mut pdf = Self {
            about,
            face: Face::new()?,
            used: GlyphRemapper::new(),
            characters: BTreeMap::new(),
            pages: Vec::new(),
            page: Content::new(),
            y: PAGE.1 - MARGIN,
            rows: 0,
        };
        pdf.title();
        pdf.headings();
        Ok(pdf)
    }

    /// What comes after [`rows_max`](super::Format::rows_max) has no place.
    pub fn add(&mut self, rows: &[Row]) -> Result<(), Error> {
        for row in rows.iter().take(ROWS_MAX.saturating_sub(self.rows)) {
            self.row(row)?;
            self.rows += 1;
        }
        Ok(())
    }

    fn title(&mut self) {
        self.y -= 16.0;
        let title = self.about.title.clone();
        self.text(MARGIN, self.y, 16.0, &title);
        let about = format!(
            "{}. {} Made {}.",
            self.about.business,
            self.about.selection,
            self.about.made_at.plainly()
        );
        let width = PAGE.0 - 2.0 * MARGIN;
        for line in lines(&self.face, &about, SIZE + 1.0, width, LINES_MAX) {
            self.y -= LEADING + 2.0;
            self.text(MARGIN, self.y, SIZE + 1.0, &line);
        }
        self.y -= 8.0;
    }

    fn headings(&mut self) {
        self.y -= LEADING;
        let y = self.y;
        for (column, x, _) in self.columns() {
            self.text(x, y, SIZE, column.heading);
        }
        self.y -= PADDING + 1.0;
        self.rule(0.8);
    }

    /// The columns shown, where each begins and how wide it is.
    fn columns(&self) -> Vec<(&'static Column, f32, f32)> {
        let shown = || {
            let of_all = self.about.of_all;
            COLUMNS
                .iter()
                .filter(move |c| of_all || c.heading != "Client")
        };
        let shares: f32 = shown().map(|column| column.share).sum();
        let unit = (PAGE.0 - 2.0 * MARGIN) / shares;
        let mut x = MARGIN;
        let placed = shown().map(|column| {
            let begin = x;
            x += column.share * unit;
            (column, begin, column.share * unit - 8.0)
        });
        placed.collect()
    }

    fn row(&mut self, row: &Row) -> Result<(), Error> {
        let columns = self.columns();
        let cells: Vec<(f32, Vec<String>)> = columns
            .into_iter()
            .map(|(column, x, width)| {
                let text = (column.text)(row);
                (x, lines(&self.face, &text, SIZE, width, LINES_MAX))
            })
            .collect();
        let heights = cells
            .iter()
            .map(|(_, lines)| lines.iter().map(|_| LEADING).sum());
        let height = heights.fold(LEADING, f32::max) + 2.0 * PADDING;
        if self.y - height < MARGIN {
            self.turn()?;
        }
        let top = self.y - PADDING;
        for (x, lines) in cells {
            let mut y = top - SIZE;
            for line in lines {
                self.text(x, y, SIZE, &line);
                y -= LEADING;
            }
        }
        self.y -= height;
        self.rule(0.25);
        Ok(())
    }

    /// To a new page.
    fn turn(&mut self) -> Result<(), Error> {
        let full = mem::replace(&mut self.page, Content::new());
        self.pages.push(deflated(full.finish().as_slice())?);
        self.y = PAGE.1 - MARGIN;
        self.headings();
        Ok(())
    }

    fn rule(&mut self, width: f32) {
        let page = &mut self.page;
        page.set_line_width(width).set_stroke_gray(0.55);
        page.move_to(MARGIN, self.y)
            .line_to(PAGE.0 - MARGIN, self.y);
        page.stroke();
    }

    fn text(&mut self, x: f32, y: f32, size: f32, text: &str) {
        let shown = self.encoded(text);
        write_text(&mut self.page, x, y, size, &shown);
    }

    /// The glyphs of a text, each by the number that it has in the document.
    fn encoded(&mut self, text: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(text.len() * 2);
        for character in text.chars() {
            let glyph = self.face.glyph(character);
            let number = self.used.remap(glyph);
            self.characters.entry(number).or_insert(character);
            bytes.extend(number.to_be_bytes());
        }
        bytes
    }

    pub fn finish(mut self) -> Result<Vec<u8>, Error> {
        if self.rows == 0 {
            self.y -= LEADING * 2.0;
            self.text(MARGIN, self.y, SIZE, "There are no entries.");
        }
        let last = mem::replace(&mut self.page, Content::new());
        self.pages.push(deflated(last.finish().as_slice())?);
        let total = self.pages.len();
        let feet: Vec<Vec<u8>> = (1..=total)
            .map(|number| {
                let text = format!("Page {number} of {total}");
                let mut foot = Content::new();
                let x = PAGE.0 - MARGIN - self.face.width(&text, SIZE);
                let shown = self.encoded(&text);
                write_text(&mut foot, x, FOOT, SIZE, &shown);
                foot.finish().to_vec()
            })
            .collect();
        self.assembled(&feet)
    }

    fn assembled(self, feet: &[Vec<u8>]) -> Result<Vec<u8>, Error> {
        let mut next = Ref::new(1);
        let (catalog, tree, font) = (next.bump(), next.bump(), next.bump());
        let mut pdf = pdf_writer::Pdf::new();
        pdf.catalog(catalog).pages(tree).lang(TextStr("en"));
        let mut kids = Vec::new();
        for (body, foot) in self.pages.iter().zip(feet) {
            let (page, content, below) = (next.bump(), next.bump(), next.bump());
            kids.push(page);
            pdf.stream(content, body).filter(Filter::FlateDecode);
            pdf.stream(below, foot);
            let mut sheet = pdf.page(page);
            sheet
                .media_box(Rect::new(0.0, 0.0, PAGE.0, PAGE.1))
                .parent(tree);
            sheet.contents_array([content, below]);
            sheet.resources().fonts().pair(FONT, font);
            sheet.finish();
        }
        let count = i32::try_from(kids.len()).unwrap_or(i32::MAX);
        pdf.pages(tree).kids(kids).count(count);
        pdf.document_info(next.bump())
            .title(TextStr(&self.about.title))
            .author(TextStr(&self.about.business))
            .creator(TextStr("sendtrail"));
        self.embed(&mut pdf, font, &mut next)?;
        Ok(pdf.finish())
    }

    /// The glyphs that occur, and what characters they are.
    fn embed(&self, pdf: &mut pdf_writer::Pdf, font: Ref, next: &mut Ref) -> Result<(), Error> {
        let (cid, descriptor) = (next.bump(), next.bump());
        let (to_unicode, file) = (next.bump(), next.bump());
        pdf.type0_font(font)
            .base_font(FONT_NAME)
            .encoding_predefined(Name(b"Identity-H"))
            .descendant_font(cid)
            .to_unicode(to_unicode);
        let widths = self
            .used
            .remapped_gids()
            .map(|glyph| self.face.advance(glyph));
        let mut described = pdf.cid_font(cid);
        described
            .subtype(CidFontType::Type2)
            .base_font(FONT_NAME)
            .system_info(SYSTEM)
            .font_descriptor(descriptor)
            .cid_to_gid_map_predefined(Name(b"Identity"));
        described.widths().consecutive(0, widths);
        described.finish();
        pdf.font_descriptor(descriptor)
            .name(FONT_NAME)
            .flags(FontFlags::SYMBOLIC)
            .bbox(Rect::new(-200.0, -250.0, 1200.0, 950.0))
            .italic_angle(0.0)
            .ascent(932.0)
            .descent(-189.0)
            .cap_height(693.0)
            .stem_v(60.0)
            .font_file2(file);
        let mut cmap = UnicodeCmap::<u16>::new(Name(b"Custom"), SYSTEM);
        for (number, character) in &self.characters {
            cmap.pair(*number, *character);
        }
        pdf.cmap(to_unicode, &cmap.finish());
        let subset = subsetter::subset(self.face.data, 0, &self.used);
        let subset = subset.map_err(|failed| Error::Font(failed.to_string()))?;
        pdf.stream(file, &deflated(&subset)?)
            .filter(Filter::FlateDecode);
        Ok(())
    }
}

fn write_text(page: &mut Content, x: f32, y: f32, size: f32, shown: &[u8]) {
    page.begin_text();
    page.set_font(FONT, size).next_line(x, y).show(Str(shown));
    page.end_text();
}

fn deflated(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn about() -> About {
        About {
            title: "Contact history".to_owned(),
            business: "Lotus Yoga".to_owned(),
            selection: "Status: Bounced.".to_owned(),
            of_all: true,
            made_at: Timestamp::parse("2026-11-26T10:00:00Z").unwrap(),
        }
    }

    fn pages(file: &[u8]) -> usize {
        let text = String::from_utf8_lossy(file);
        text.matches("/Type /Page\n").count()
    }

    #[test]
    fn a_document_has_as_many_pages_as_its_rows_need() {
        let empty = Pdf::new(about()).unwrap().finish().unwrap();
        assert!(empty.starts_with(b"%PDF-1."));
        assert_eq!(pages(&empty), 1);
        let mut pdf = Pdf::new(about()).unwrap();
        let rows = vec![Row::sample("Ελένη Жуков 你好", "x".repeat(900).as_str()); 100];
        pdf.add(&rows).unwrap();
        let file = pdf.finish().unwrap();
        assert!(pages(&file) > 8, "{}", pages(&file));
        assert!(file.ends_with(b"%%EOF"));
    }
}
