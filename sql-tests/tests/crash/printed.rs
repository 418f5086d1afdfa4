//! A table that cannot tell what it has shown, with a write-ahead log before it.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use tidemill_sql_tests::output::compare;

use super::jobs::Job;
use super::process::{End, Place};

/// Of rows that only come, all; else of lines such as `+U[key, ..]` the last of each key, unless it is that the row goes.
fn left(job: &Job, lines: &[String]) -> Result<Vec<String>, String> {
    if !job.changes {
        return Ok(lines.to_vec());
    }
    let mut rows: BTreeMap<&str, &str> = BTreeMap::new();
    for line in lines {
        let row = line.split_once('[').map_or("", |(_, row)| row);
        let key = row.split(',').next().unwrap_or(row);
        match &line[.."out> +I".len()] {
            "out> -U" => return Err(format!("what an update replaces is not told: {line}")),
            "out> -D" if rows.remove(key).is_none() => return Err(format!("what goes was not there: {line}")),
            "out> -D" => {}
            _ => drop(rows.insert(key, row)),
        }
    }
    Ok(rows.into_values().map(str::to_string).collect())
}

/// Kills the job again and again, lets it come to its end, and looks at what all its processes have printed. Lines may be printed again where
/// a process was killed before it was recorded that they are.
pub fn disturbed(job: &Job, seed: u64, kills_max: usize, defect: Option<&str>) -> Result<(), String> {
    let undisturbed = Place::new(job);
    let End::Succeeded = undisturbed.run(1, None, None) else {
        return Err("the undisturbed run did not succeed".to_string());
    };
    let expected = left(job, &undisturbed.printed())?;
    let mut random = StdRng::seed_from_u64(seed);
    let place = Place::new(job);
    let (mut lines, mut may_repeat, mut kills) = (Vec::new(), false, 0);
    loop {
        let lifetime = (kills < kills_max).then(|| Duration::from_millis(random.random_range(60..=300)));
        let end = place.run(random.random_range(1..=4), lifetime, defect);
        follow(&mut lines, place.printed(), may_repeat);
        may_repeat = place.has_uncommitted();
        match end {
            End::Succeeded => break,
            End::Killed if !place.has_checkpoint() && !lines.is_empty() => break,
            End::Killed => kills += 1,
            End::Failed(why) => return Err(format!("it failed: {why}")),
        }
    }
    let compared = left(job, &lines).and_then(|found| compare(&expected, &found));
    compared.map_err(|why| format!("{why}\nafter {kills} kills"))
}

/// Appends what the next process has printed. It may begin with what was printed last.
fn follow(lines: &mut Vec<String>, next: Vec<String>, may_repeat: bool) {
    let is_again = |from: &usize| lines[*from..].iter().zip(&next).all(|(before, line)| before == line);
    let from = (0..lines.len()).filter(|_| may_repeat).find(is_again).unwrap_or(lines.len());
    let again = lines.len() - from;
    lines.extend(next.into_iter().skip(again));
}
