//! Texts as times, strictly: what `DateTimeFormatter` reads. Digits, names and literals must be as the pattern says.

use tidemill_exec::Error;

use super::calendar::{MILLIS_PER_DAY, days, is_leap, month_length};
use super::moment::Moment;
use super::pattern::{Dialect, MONTHS, Piece, WEEKDAYS, compile};

/// Reads `yyyy-MM-dd[ HH:mm:ss[.fraction]]`, months to seconds also with one digit. `None` if the text is not that.
pub fn timestamp(text: &str) -> Option<Moment> {
    let mut rest = Rest(text);
    let year = rest.digits(4, 4)?;
    rest.literal("-")?;
    let month = rest.digits(1, 2)?;
    rest.literal("-")?;
    let day = rest.digits(1, 2)?;
    let mut fields = Fields { year: Some(year), month: Some(month), day: Some(day), ..Fields::default() };
    if !rest.0.is_empty() {
        rest.literal(" ")?;
        fields.hour = Some(rest.digits(1, 2)?);
        rest.literal(":")?;
        fields.minute = Some(rest.digits(1, 2)?);
        rest.literal(":")?;
        fields.second = Some(rest.digits(1, 2)?);
        if rest.literal(".").is_some() {
            fields.nanos = Some(rest.fraction(0, 9)?);
        }
    }
    if rest.0.is_empty() { fields.resolve() } else { None }
}

/// Reads a text by a pattern; fields that the pattern lacks are those of 1970-01-01 00:00:00. If the text does not
/// match, it may still be of the form `y-M-d` or `y-M-d h:m:s`, which Flink accepts in any case.
///
/// # Errors
/// If the pattern is none; a text that does not match is `None`.
pub fn by_pattern(text: &str, pattern: &str) -> Result<Option<Moment>, Error> {
    let pieces = compile(pattern, Dialect::Formatter)?;
    let (mut rest, mut fields) = (Rest(text), Fields::default());
    let matched = read(&pieces, &mut rest, &mut fields);
    if matched.is_some()
        && rest.0.is_empty()
        && let Some(moment) = fields.resolve()
    {
        return Ok(Some(moment));
    }
    Ok(as_sql(text.trim()))
}

/// What `java.sql.Timestamp.valueOf` reads: a date, or date and time with an optional fraction. A day beyond its month
/// runs over.
fn as_sql(text: &str) -> Option<Moment> {
    let mut rest = Rest(text);
    let year = rest.digits(4, 4)?;
    rest.literal("-")?;
    let month = rest.digits(1, 2).filter(|month| (1..=12).contains(month))?;
    rest.literal("-")?;
    let day = rest.digits(1, 2).filter(|day| (1..=31).contains(day))?;
    let mut millis = days(year, month, day) * MILLIS_PER_DAY;
    if rest.literal(" ").is_some() {
        rest.0 = rest.0.trim_start();
        let hour = rest.digits(1, 2)?;
        rest.literal(":")?;
        let minute = rest.digits(1, 2)?;
        rest.literal(":")?;
        let second = rest.digits(1, 2)?;
        if rest.literal(".").is_some() {
            millis += rest.fraction(1, 9)? / 1_000_000;
        }
        millis += hour * 3_600_000 + minute * 60_000 + second * 1000;
    }
    rest.0.is_empty().then_some(Moment::new(millis))
}

/// What is still to be read.
#[derive(Clone, Copy)]
struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn literal(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    fn count_digits(&self) -> usize {
        self.0.bytes().take_while(u8::is_ascii_digit).count()
    }

    /// A number of at least `min` digits, taking no more than `max`.
    fn digits(&mut self, min: usize, max: usize) -> Option<i64> {
        let count = self.count_digits().min(max);
        if count < min {
            return None;
        }
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        digits.parse().ok()
    }

    /// Digits behind the point, as nanoseconds.
    fn fraction(&mut self, min: usize, max: usize) -> Option<i64> {
        let count = self.count_digits().min(max);
        let value = if count == 0 && min == 0 { 0 } else { self.digits(min, max)? };
        Some(value * 10i64.pow(9 - count as u32))
    }

    /// One of `names`, or of their beginnings of `length` letters; its number, from 1.
    fn name(&mut self, names: &[&str], length: Option<usize>) -> Option<i64> {
        for (i, name) in names.iter().enumerate() {
            if self.literal(&name[..length.unwrap_or(name.len())]).is_some() {
                return Some(i as i64 + 1);
            }
        }
        None
    }

    fn offset(&mut self) -> Option<()> {
        if self.literal("Z").is_some() {
            return Some(());
        }
        self.0 = self.0.strip_prefix(['+', '-'])?;
        self.digits(2, 2)?;
        if self.literal(":").is_some() || self.count_digits() >= 2 {
            self.digits(2, 2)?;
        }
        Some(())
    }
}

#[derive(Clone, Default)]
struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    /// 0 to 11.
    hour_of_half: Option<i64>,
    afternoon: Option<bool>,
    minute: Option<i64>,
    second: Option<i64>,
    nanos: Option<i64>,
}

impl Fields {
    /// `None` if a field is outside its range. A day beyond the end of its month is the last one, as Java's smart
    /// resolver has it.
    fn resolve(&self) -> Option<Moment> {
        let within = |value: Option<i64>, low: i64, high: i64, default: i64| match value {
            None => Some(default),
            Some(value) => (low..=high).contains(&value).then_some(value),
        };
        let year = self.year.unwrap_or(1970);
        let month = within(self.month, 1, 12, 1)?;
        let day = within(self.day, 1, 31, 1)?;
        let mut since = days(year, month, day.min(month_length(year, month)));
        if let (Some(day), Some(_), None) = (self.day_of_year, self.year, self.month) {
            since = days(year, 1, within(Some(day), 1, 365 + i64::from(is_leap(year)), 1)?);
        }
        let mut hour = within(self.hour, 0, 23, 0)?;
        if let (Some(of_half), Some(afternoon), None) = (self.hour_of_half, self.afternoon, self.hour) {
            hour = of_half + if afternoon { 12 } else { 0 };
        }
        let minute = within(self.minute, 0, 59, 0)?;
        let second = within(self.second, 0, 59, 0)?;
        let nanos = within(self.nanos, 0, 999_999_999, 0)?;
        let of_day = hour * 3_600_000 + minute * 60_000 + second * 1000 + nanos / 1_000_000;
        Some(Moment { millis: since.checked_mul(MILLIS_PER_DAY)?.checked_add(of_day)?, nanos: nanos % 1_000_000 })
    }
}

fn read(pieces: &[Piece], rest: &mut Rest, fields: &mut Fields) -> Option<()> {
    for (i, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Literal(text) => rest.literal(text)?,
            Piece::Optional(inner) => {
                let (mut inner_rest, mut inner_fields) = (*rest, fields.clone());
                if read(inner, &mut inner_rest, &mut inner_fields).is_some() {
                    (*rest, *fields) = (inner_rest, inner_fields);
                }
            }
            Piece::Field(letter, count) => {
                let reserved = pieces[i + 1..].iter().map_while(fixed_digits).sum();
                field(*letter, *count, reserved, rest, fields)?;
            }
        }
    }
    Some(())
}

/// How many digits a field takes that always takes the same number: a number before such fields leaves them theirs,
/// which is what makes `yyyyMMdd` readable.
fn fixed_digits(piece: &Piece) -> Option<usize> {
    match piece {
        Piece::Field('S', count) => Some(*count),
        Piece::Field('M' | 'L' | 'd' | 'H' | 'h' | 'K' | 'k' | 'm' | 's' | 'y' | 'u', 2) => Some(2),
        Piece::Field('D', 3) => Some(3),
        _ => None,
    }
}

fn field(letter: char, count: usize, reserved: usize, rest: &mut Rest, fields: &mut Fields) -> Option<()> {
    let number = |rest: &mut Rest| match count {
        1 => rest.digits(1, rest.count_digits().checked_sub(reserved)?.min(18)),
        _ => rest.digits(count, count),
    };
    match letter {
        'y' | 'u' => {
            fields.year = Some(match count {
                2 => 2000 + rest.digits(2, 2)?,
                4.. => {
                    let signed = rest.literal("+").is_some();
                    let available = rest.count_digits().checked_sub(reserved)?;
                    // More digits than letters need a sign.
                    if !signed && available > count {
                        return None;
                    }
                    rest.digits(count, available.min(9))?
                }
                _ => rest.digits(count, rest.count_digits().checked_sub(reserved)?.min(9))?,
            });
        }
        'M' | 'L' => {
            fields.month = Some(match count {
                1 | 2 => number(rest)?,
                3 => rest.name(&MONTHS, Some(3))?,
                _ => rest.name(&MONTHS, None)?,
            });
        }
        'd' => fields.day = Some(number(rest)?),
        'D' => fields.day_of_year = Some(number(rest)?),
        'H' => fields.hour = Some(number(rest)?),
        'k' => fields.hour = Some(number(rest).filter(|hour| (1..=24).contains(hour))? % 24),
        'K' => fields.hour_of_half = Some(number(rest).filter(|hour| (0..=11).contains(hour))?),
        'h' => fields.hour_of_half = Some(number(rest).filter(|hour| (1..=12).contains(hour))? % 12),
        'm' => fields.minute = Some(number(rest)?),
        's' => fields.second = Some(number(rest)?),
        'S' => fields.nanos = Some(rest.fraction(count, count)?),
        'n' => fields.nanos = Some(number(rest)?),
        'a' => fields.afternoon = Some(rest.name(&["AM", "PM"], None)? == 2),
        'E' => {
            rest.name(&WEEKDAYS, if count < 4 { Some(3) } else { None })?;
        }
        'G' => {
            rest.name(&["AD", "BC"], None)?;
        }
        // Flink keeps the clock's time and forgets the zone.
        'X' | 'x' | 'Z' => rest.offset()?,
        _ => return None,
    }
    Some(())
}
