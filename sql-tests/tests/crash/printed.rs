//! A table that cannot tell what it has shown, with a write-ahead log before it.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::jobs::PRINTED;
use super::output::compare;
use super::process::{End, Place};

/// Kills the job again and again, lets it come to its end, and looks at what all its processes have printed. Lines may be printed again where
/// a process was killed before it was recorded that they are.
pub fn disturbed(seed: u64, kills_max: usize, defect: Option<&str>) -> Result<(), String> {
    let undisturbed = Place::new(&PRINTED);
    let End::Succeeded = undisturbed.run(1, None, None) else {
        return Err("the undisturbed run did not succeed".to_string());
    };
    let mut expected = undisturbed.printed();
    let mut random = StdRng::seed_from_u64(seed);
    let place = Place::new(&PRINTED);
    let (mut lines, mut may_repeat, mut kills) = (Vec::new(), false, 0);
    loop {
        let lifetime = (kills < kills_max).then(|| Duration::from_millis(random.random_range(60..=300)));
        let end = place.run(random.random_range(1..=4), lifetime, defect);
        follow(&mut lines, place.printed(), may_repeat)?;
        may_repeat = place.has_uncommitted();
        match end {
            End::Succeeded => break,
            End::Killed if !place.has_checkpoint() && !lines.is_empty() => break,
            End::Killed => kills += 1,
            End::Failed(why) => return Err(format!("it failed: {why}")),
        }
    }
    expected.sort_unstable();
    lines.sort_unstable();
    compare(&expected, &lines).map_err(|why| format!("{why}\nafter {kills} kills"))
}

/// Appends what the next process has printed.
fn follow(lines: &mut Vec<String>, next: Vec<String>, may_repeat: bool) -> Result<(), String> {
    let from = next.first().filter(|_| may_repeat).and_then(|first| lines.iter().rposition(|line| line == first));
    let Some(from) = from else {
        lines.extend(next);
        return Ok(());
    };
    let again = lines.len() - from;
    if let Some((before, line)) = lines[from..].iter().zip(&next).find(|(before, line)| before != line) {
        return Err(format!("where {before} was printed, {line} comes when it is printed again"));
    }
    lines.extend(next.into_iter().skip(again));
    Ok(())
}
