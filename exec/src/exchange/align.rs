//! Barrier alignment and watermark merge over the lanes of one task: pure, messages in, messages out.
//!
//! A lane that has delivered the barrier of an epoch is blocked until every other lane has delivered it too (or has ended);
//! what arrives on it meanwhile waits, in order. So everything before the barrier is processed before anything after it, on all
//! lanes: the cut is consistent. The merged watermark is the minimum over lanes that are neither idle nor ended, and never
//! goes back.
//!
//! In a loop, a [`Round`] goes on when all lanes of the loop have delivered it and the others bring nothing more of this epoch: each waits
//! behind the barrier or has ended. Rows that arrive meanwhile overtake it.

use std::collections::VecDeque;

use tidemill_state::EventTime;

use crate::message::{Barrier, Batch, Mark, Message, Round};
use crate::operator::Input;
use crate::planted::{self, Defect};

/// One sender's lane into a task, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneId(pub usize);

/// How a lane begins.
#[derive(Clone, Copy, Debug)]
pub struct LaneStart {
    pub input: Input,
    /// Nothing is known to come from it: it does not hold event time back before it says something.
    pub silent: bool,
    /// Its sender belongs to the loop that this task belongs to.
    pub in_loop: bool,
    /// Event time is that of its rows. If not, it neither holds it back nor advances it.
    pub tells_time: bool,
}

impl LaneStart {
    /// A lane like most.
    pub fn of(input: Input) -> LaneStart {
        LaneStart { input, silent: false, in_loop: false, tells_time: true }
    }
}

/// What the task is to process next.
#[derive(Debug)]
pub enum Aligned {
    Batch(Input, Batch),
    Watermark(EventTime),
    Idle,
    Barrier(Barrier),
    Round(Round),
    End,
}

/// Alignment state of one task. `H` is what must be kept alive while a message is held back (its share of the channel's budget).
pub struct Align<H> {
    lanes: Vec<Lane<H>>,
    watermark: EventTime,
    idle: bool,
    ended: bool,
    /// The last barrier that passed without alignment.
    unaligned: Option<Barrier>,
}

struct Lane<H> {
    input: Input,
    in_loop: bool,
    tells_time: bool,
    /// The tokens that it has delivered and that wait for their like: a head whose feedback is back already sends its next one before slower
    /// heads have sent theirs.
    rounds: VecDeque<Round>,
    /// The barrier this lane waits behind.
    blocked: Option<Barrier>,
    held: VecDeque<(Message, H)>,
    watermark: EventTime,
    idle: bool,
    ended: bool,
}

impl<H> Lane<H> {
    /// Whether it takes part in the minimum. One that has come to its end says so with the last watermark of all.
    fn holds_time(&self) -> bool {
        self.tells_time && !self.ended && !self.idle && self.watermark < EventTime::MAX
    }
}

impl<H> Align<H> {
    /// A task with these lanes, to which event time has come as far as `watermark` before.
    pub fn new(lanes: Vec<LaneStart>, watermark: EventTime) -> Align<H> {
        let lanes = lanes
            .into_iter()
            .map(|LaneStart { input, silent, in_loop, tells_time }| Lane {
                input,
                in_loop,
                tells_time,
                rounds: VecDeque::new(),
                blocked: None,
                held: VecDeque::new(),
                watermark: EventTime::MIN,
                idle: silent,
                ended: false,
            })
            .collect();
        Align { lanes, watermark, idle: false, ended: false, unaligned: None }
    }

    /// Takes one message and calls `release` with everything that may be processed now, in order.
    pub fn push<E>(
        &mut self,
        lane: LaneId,
        message: Message,
        hold: H,
        release: &mut impl FnMut(Aligned) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.lanes[lane.0].blocked.is_some() {
            self.lanes[lane.0].held.push_back((message, hold));
            return Ok(());
        }
        self.accept(lane, message, release)?;
        self.pass_rounds(release)?;
        // A released barrier frees held messages, among which may be the next barrier.
        while let Some(barrier) = self.aligned() {
            release(Aligned::Barrier(barrier))?;
            for lane in &mut self.lanes {
                lane.blocked = None;
                lane.rounds.clear();
            }
            for lane in 0..self.lanes.len() {
                while self.lanes[lane].blocked.is_none() {
                    let Some((message, _hold)) = self.lanes[lane].held.pop_front() else { break };
                    self.accept(LaneId(lane), message, release)?;
                }
            }
            self.pass_rounds(release)?;
        }
        if !self.ended && self.lanes.iter().all(|lane| lane.ended) {
            self.ended = true;
            release(Aligned::End)?;
        }
        Ok(())
    }

    fn accept<E>(
        &mut self,
        id: LaneId,
        message: Message,
        release: &mut impl FnMut(Aligned) -> Result<(), E>,
    ) -> Result<(), E> {
        let lane = &mut self.lanes[id.0];
        match message {
            Message::Watermark(_) | Message::Idle if !lane.tells_time => return Ok(()),
            Message::Batch(batch) if !lane.tells_time => {
                return release(Aligned::Batch(lane.input, batch.without_marks()));
            }
            Message::Batch(batch) => {
                lane.idle = false;
                let input = lane.input;
                let batch = self.merge_marks(id, batch);
                release(Aligned::Batch(input, batch))?;
            }
            Message::Watermark(time) => {
                lane.idle = false;
                lane.watermark = lane.watermark.max(time);
            }
            Message::Idle => lane.idle = true,
            Message::Barrier(barrier) if planted::has(Defect::SkippedAlignment) => {
                let is_first = self.unaligned != Some(barrier);
                self.unaligned = Some(barrier);
                return if is_first { release(Aligned::Barrier(barrier)) } else { Ok(()) };
            }
            Message::Barrier(barrier) => {
                lane.blocked = Some(barrier);
                return Ok(());
            }
            Message::Round(round) => {
                lane.rounds.push_back(round);
                return Ok(());
            }
            Message::End => lane.ended = true,
        }
        self.merge_watermarks(release)
    }

    /// Releases the tokens that all lanes of the loop have delivered, in order.
    fn pass_rounds<E>(&mut self, release: &mut impl FnMut(Aligned) -> Result<(), E>) -> Result<(), E> {
        loop {
            let outer = || self.lanes.iter().filter(|lane| !lane.in_loop);
            if outer().any(|lane| !lane.ended && lane.blocked.is_none()) {
                return Ok(());
            }
            let mut merged: Option<Round> = None;
            for lane in self.lanes.iter().filter(|lane| lane.in_loop && !lane.ended) {
                let Some(&round) = lane.rounds.front() else { return Ok(()) };
                merged = Some(merged.map_or(round, |merged| merged.merged(round)));
            }
            let Some(round) = merged else { return Ok(()) };
            let open = round.open || outer().any(|lane| !lane.ended);
            for lane in &mut self.lanes {
                lane.rounds.pop_front();
            }
            release(Aligned::Round(Round { open, ..round }))?;
        }
    }

    /// Whether the first `lanes` lanes have ended.
    pub fn have_ended(&self, lanes: usize) -> bool {
        self.lanes[..lanes].iter().all(|lane| lane.ended)
    }

    /// The barrier that every lane still running has delivered, if there is one.
    fn aligned(&self) -> Option<Barrier> {
        let mut barrier = None;
        for lane in self.lanes.iter().filter(|lane| !lane.ended) {
            let blocked_by = lane.blocked?;
            debug_assert!(barrier.is_none_or(|other| other == blocked_by), "barriers of two epochs cannot meet");
            barrier = Some(blocked_by);
        }
        barrier
    }

    /// With the marks of a lane turned into those of all lanes.
    fn merge_marks(&mut self, id: LaneId, batch: Batch) -> Batch {
        if batch.marks().is_empty() {
            return batch;
        }
        let others = self.lanes.iter().enumerate().filter(|(n, lane)| *n != id.0 && lane.holds_time());
        let floor = others.map(|(_, lane)| lane.watermark).min().unwrap_or(EventTime::MAX);
        let mut marks = Vec::with_capacity(batch.marks().len());
        for mark in batch.marks() {
            let lane = &mut self.lanes[id.0];
            lane.watermark = lane.watermark.max(mark.time);
            let time = lane.watermark.min(floor);
            if time > self.watermark {
                self.watermark = time;
                marks.push(Mark { time, ..*mark });
            }
        }
        batch.with_marks(marks)
    }

    fn merge_watermarks<E>(&mut self, release: &mut impl FnMut(Aligned) -> Result<(), E>) -> Result<(), E> {
        let has_more = |lane: &Lane<H>| lane.tells_time && !lane.ended && lane.watermark < EventTime::MAX;
        if !self.lanes.iter().any(has_more) {
            return Ok(()); // End follows, and with it the watermark that closes everything.
        }
        match self.lanes.iter().filter(|lane| lane.holds_time()).map(|lane| lane.watermark).min() {
            Some(time) => {
                self.idle = false;
                if time > self.watermark {
                    self.watermark = time;
                    release(Aligned::Watermark(time))?;
                }
            }
            None if !self.idle => {
                self.idle = true;
                release(Aligned::Idle)?;
            }
            None => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rows;
    use expect_test::{Expect, expect};
    use tidemill_state::Epoch;

    /// Feeds lines such as `0 | 1` (lane, then a barrier, watermark `~ 5`, `idle`, end `$`, or a row) and prints what is released.
    fn check(lanes: usize, script: &str, expected: Expect) {
        let lane = |lane: usize| LaneStart::of(Input(lane as u8));
        check_lanes((0..lanes).map(lane).collect(), script, expected);
    }

    fn check_lanes(lanes: Vec<LaneStart>, script: &str, expected: Expect) {
        let mut align = Align::new(lanes, EventTime::MIN);
        let mut printed = String::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (lane, what) = line.split_once(' ').expect("a lane and a message");
            let message = match what.split_once(' ') {
                Some(("|", epoch)) => Message::Barrier(barrier(epoch.parse().expect("an epoch"))),
                Some(("o", number)) => Message::Round(round(number.parse().expect("a number"))),
                Some(("~", time)) => Message::Watermark(EventTime(time.parse().expect("a time"))),
                _ if what == "$" => Message::End,
                _ if what == "idle" => Message::Idle,
                _ => Message::Batch(Batch::append(rows(&[what]))),
            };
            printed.push_str(&format!("{line}\n"));
            let lane = LaneId(lane.parse().expect("a lane number"));
            align
                .push(lane, message, (), &mut |released| {
                    let text = match released {
                        Aligned::Batch(input, batch) => {
                            use arrow::array::AsArray;
                            format!("{} from input {}", batch.rows().column(0).as_string::<i32>().value(0), input.0)
                        }
                        Aligned::Watermark(time) => format!("~ {}", time.0),
                        Aligned::Idle => "idle".to_string(),
                        Aligned::Barrier(barrier) => format!("| {}", barrier.epoch),
                        Aligned::Round(round) => format!("o {}{}", round.number, if round.open { " open" } else { "" }),
                        Aligned::End => "$".to_string(),
                    };
                    printed.push_str(&format!("    => {text}\n"));
                    Ok::<(), ()>(())
                })
                .expect("release never fails here");
        }
        expected.assert_eq(&printed);
    }

    #[test]
    fn a_lane_whose_rows_are_of_no_time_neither_holds_it_back_nor_advances_it() {
        let left = LaneStart::of(Input(0));
        let right = LaneStart { tells_time: false, ..LaneStart::of(Input(1)) };
        check_lanes(
            vec![left, left, right],
            "0 ~ 5
             1 ~ 3
             2 row
             2 ~ 1
             0 idle
             1 idle
             2 another
             1 ~ 4
             0 $
             1 $
             2 last
             2 $",
            expect![[r#"
                0 ~ 5
                1 ~ 3
                    => ~ 3
                2 row
                    => row from input 1
                2 ~ 1
                0 idle
                1 idle
                    => idle
                2 another
                    => another from input 1
                1 ~ 4
                    => ~ 4
                0 $
                1 $
                2 last
                    => last from input 1
                2 $
                    => $
            "#]],
        );
    }

    fn round(number: u64) -> Round {
        Round { epoch: Epoch(1), number, rows: 0, open: false }
    }

    /// A lane from outside the loop, and two of the loop.
    fn in_loop() -> Vec<LaneStart> {
        [false, true, true].map(|in_loop| LaneStart { in_loop, ..LaneStart::of(Input(u8::from(in_loop))) }).into()
    }

    #[test]
    fn a_token_waits_for_its_like_and_for_the_barrier_on_lanes_from_outside_while_rows_overtake_it() {
        check_lanes(
            in_loop(),
            "1 o 1
             1 a
             2 o 1
             0 b
             0 | 1
             0 c
             1 o 2
             2 o 2
             1 | 1
             2 | 1",
            expect![[r#"
                1 o 1
                1 a
                    => a from input 1
                2 o 1
                0 b
                    => b from input 0
                0 | 1
                    => o 1 open
                0 c
                1 o 2
                2 o 2
                    => o 2 open
                1 | 1
                2 | 1
                    => | 1
                    => c from input 0
            "#]],
        );
    }

    #[test]
    fn a_lane_that_is_a_token_ahead_waits_for_the_others_and_loses_none() {
        check_lanes(
            in_loop(),
            "0 $
             1 o 1
             1 o 2
             2 o 1
             2 o 2
             2 o 3
             1 o 3",
            expect![[r#"
                0 $
                1 o 1
                1 o 2
                2 o 1
                    => o 1
                2 o 2
                    => o 2
                2 o 3
                1 o 3
                    => o 3
            "#]],
        );
    }

    #[test]
    fn a_token_does_not_outlive_its_epoch_and_says_when_all_inputs_from_outside_have_ended() {
        check_lanes(
            in_loop(),
            "1 o 1
             0 | 1
             1 | 1
             2 | 1
             2 o 1
             0 $
             1 o 1",
            expect![[r#"
                1 o 1
                0 | 1
                1 | 1
                2 | 1
                    => | 1
                2 o 1
                0 $
                1 o 1
                    => o 1
            "#]],
        );
    }

    fn barrier(epoch: u64) -> Barrier {
        Barrier { epoch: Epoch(epoch), time: EventTime(0), checkpoint: None, stops: false }
    }

    #[test]
    fn rows_behind_a_barrier_wait_until_every_lane_has_sent_it() {
        check(
            2,
            "0 a
             0 | 1
             0 b
             0 | 2
             0 c
             1 x
             1 | 1
             1 y
             1 | 2",
            expect![[r#"
                0 a
                    => a from input 0
                0 | 1
                0 b
                0 | 2
                0 c
                1 x
                    => x from input 1
                1 | 1
                    => | 1
                    => b from input 0
                1 y
                    => y from input 1
                1 | 2
                    => | 2
                    => c from input 0
            "#]],
        );
    }

    #[test]
    fn a_finished_lane_leaves_the_alignment_and_the_watermark_minimum() {
        check(
            2,
            "0 ~ 10
             0 | 1
             0 ~ 20
             1 ~ 5
             1 $
             0 | 2
             0 $",
            expect![[r#"
                0 ~ 10
                0 | 1
                0 ~ 20
                1 ~ 5
                    => ~ 5
                1 $
                    => ~ 10
                    => | 1
                    => ~ 20
                0 | 2
                    => | 2
                0 $
                    => $
            "#]],
        );
    }

    #[test]
    fn a_lane_at_its_end_does_not_close_what_an_idle_one_may_still_add_to() {
        check(
            2,
            "1 idle
             0 ~ 10
             0 ~ 9223372036854775807
             0 $
             1 x
             1 ~ 20
             1 $",
            expect![[r#"
                1 idle
                0 ~ 10
                    => ~ 10
                0 ~ 9223372036854775807
                    => idle
                0 $
                1 x
                    => x from input 1
                1 ~ 20
                    => ~ 20
                1 $
                    => $
            "#]],
        );
    }

    #[test]
    fn an_idle_lane_does_not_hold_the_watermark_back_and_time_never_runs_backwards() {
        check(
            2,
            "0 ~ 10
             1 idle
             1 ~ 3
             0 ~ 12
             1 ~ 11
             0 idle
             1 idle",
            expect![[r#"
                0 ~ 10
                1 idle
                    => ~ 10
                1 ~ 3
                0 ~ 12
                1 ~ 11
                    => ~ 11
                0 idle
                1 idle
                    => idle
            "#]],
        );
    }
}
