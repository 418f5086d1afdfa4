//! What the head of a loop does with barriers, and when the loop is at rest: pure, what happened in, what to do out.
//!
//! A loop has a *head*, where rows come in from outside and back from the loop, and a *body* from the head round to the head. One shard of
//! the head is a `Rounds`. It gets barriers when its inputs from outside have delivered them; it sends tokens ([`Round`]) into the body, the
//! next when the last has come back on all lanes; whoever is in the body lets a token pass when all lanes of the loop have delivered it and
//! the inputs from outside are at the barrier or have ended (`Align`).
//!
//! **At rest.** A head sends tokens only while it is *closed*: it is at the barrier or its inputs have ended, so rows come from the loop only.
//! When token n, n ≥ 2, comes back and says that no head has sent a row between its tokens n-1 and n, no row is in the loop:
//!
//! - Token n-1 pushed before it all rows that were in the body, and all rows of the epoch that came into the body from outside; the head
//!   had them all, and had sent what follows from them, before it sent token n.
//! - Had it sent a row for them, or for any other, after token n-1, token n would say so.
//!
//! All heads that a token reaches see the same merged tokens, so they agree.
//!
//! **Barriers.** A head passes the barrier on when the loop is at rest, so that the results of an epoch are the fixpoint of what was read in
//! it; but after so many rounds or rows (`Limits`) it passes it on as things are, because some loops never rest. Then rows are under way
//! behind the body's snapshots and before the head's: those that come back on a lane before the barrier does. They belong to the head's
//! snapshot (Chandy and Lamport 1985; Carbone et al. 2015), which is complete when the barrier has come back on all lanes.
//!
//! **The end.** At rest, with all inputs ended, the loop has ended.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use tidemill_state::Epoch;

use super::LaneId;
use crate::message::{Barrier, Message, Round};
use crate::planted::{self, Defect};

/// How far a loop runs before a barrier passes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// After so many rounds a barrier does not wait for the fixpoint.
    pub rounds: u64,
    /// Bytes of rows that have come back and wait, per shard. With more of them the job fails.
    pub bytes: usize,
}

/// Rows after which a barrier does not wait for the fixpoint: as many as take about a second.
const ROWS: u64 = 1_000_000;

/// A job that is told to end does not wait longer for a loop that may have no end.
const ROUNDS_WHEN_DRAINED: u64 = 1000;

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Send it into the body, behind everything so far.
    Send(Round),
    /// Take the snapshot, and send the barrier on, out and into the body.
    Pass(Barrier),
    /// The last barrier passed has come back everywhere: the snapshot is complete with these rows.
    Complete(Vec<RecordBatch>),
    /// Nothing will ever come out again.
    End,
}

pub struct Rounds {
    limits: Limits,
    lanes: Vec<Lane>,
    /// The epoch that is open.
    epoch: Epoch,
    /// Where the inputs wait.
    at: Option<Barrier>,
    inputs_ended: bool,
    /// The job is told to end.
    is_drained: bool,
    /// Tokens of this epoch that have been sent, and have come back.
    sent: u64,
    returned: u64,
    last: Option<Round>,
    /// Rows sent since the last token.
    rows: u64,
    /// Rows of this epoch, by its tokens.
    rows_of_epoch: u64,
    /// The barrier that is going round, and what came back before it.
    passing: Option<(Barrier, Vec<RecordBatch>)>,
}

/// One lane of the feedback edge.
#[derive(Default)]
struct Lane {
    /// Tokens that have come and are not merged yet. One that other heads have sent may come before this head sends its own.
    rounds: VecDeque<Round>,
    /// The barrier going round has come.
    has_barrier: bool,
    ended: bool,
}

impl Rounds {
    /// A head into which the loop comes back on so many lanes.
    pub fn new(lanes: usize, limits: Limits) -> Rounds {
        Rounds {
            limits,
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            epoch: Epoch(1),
            at: None,
            inputs_ended: false,
            is_drained: false,
            sent: 0,
            returned: 0,
            last: None,
            rows: 0,
            rows_of_epoch: 0,
            passing: None,
        }
    }

    /// The inputs have delivered this barrier.
    pub fn arrived(&mut self, barrier: Barrier) {
        self.epoch = barrier.epoch;
        self.at = Some(barrier);
    }

    /// The inputs are to wait: what is behind the barrier belongs to the next epoch.
    pub fn is_at_barrier(&self) -> bool {
        self.at.is_some()
    }

    /// The job stops at the barrier that is going round: what comes back is only logged.
    pub fn stops(&self) -> bool {
        self.passing.as_ref().is_some_and(|(barrier, _)| barrier.stops)
    }

    /// All inputs from outside have ended.
    pub fn inputs_ended(&mut self) {
        self.inputs_ended = true;
    }

    /// The job is to end: a loop that does not by itself ends after some rounds.
    pub fn drain(&mut self) {
        self.is_drained = true;
    }

    /// The head has sent so many rows.
    pub fn sent(&mut self, rows: usize) {
        self.rows += rows as u64;
    }

    /// This has come back.
    pub fn came_back(&mut self, lane: LaneId, message: &Message) {
        let lane = &mut self.lanes[lane.0];
        match message {
            Message::Batch(batch) => {
                if let Some((barrier, log)) = self.passing.as_mut().filter(|_| !lane.has_barrier)
                    && barrier.checkpoint.is_some()
                    && !planted::has(Defect::LostInFlight)
                {
                    log.push(batch.rows().clone());
                }
            }
            Message::Barrier(_) => lane.has_barrier = true,
            Message::Round(round) => lane.rounds.push_back(*round),
            Message::End => lane.ended = true,
            Message::Watermark(_) | Message::Idle => {}
        }
    }

    /// The barrier has come back on this lane before the head has passed it: what is behind it waits until then.
    pub fn is_ahead(&self, lane: LaneId) -> bool {
        self.lanes[lane.0].has_barrier && self.passing.is_none()
    }

    /// Takes the token under way, if it has come back on all lanes.
    fn merge(&mut self) {
        let (epoch, number) = (self.epoch, self.sent);
        for lane in &mut self.lanes {
            // Of an epoch that has passed, or of a head that went on without this one.
            let is_over = |round: &mut Round| (round.epoch, round.number) < (epoch, number);
            while lane.rounds.pop_front_if(is_over).is_some() {}
        }
        let is_it = |round: &Round| (round.epoch, round.number) == (epoch, number);
        let has_come = |lane: &Lane| lane.rounds.front().is_some_and(is_it);
        if self.sent == self.returned || !self.lanes.iter().all(|lane| has_come(lane) || lane.ended) {
            return;
        }
        let rounds = self.lanes.iter_mut().filter_map(|lane| lane.rounds.pop_front_if(|round| is_it(round)));
        if let Some(round) = rounds.reduce(Round::merged) {
            self.returned = round.number;
            self.rows_of_epoch += round.rows;
            self.last = Some(round);
        }
    }

    fn is_at_rest(&self) -> bool {
        self.last.is_some_and(|round| round.number >= 2 && round.rows == 0)
    }

    /// What to do now; to be asked until there is nothing.
    pub fn step(&mut self) -> Option<Step> {
        self.merge();
        if self.lanes.iter().all(|lane| lane.has_barrier || lane.ended)
            && let Some((_, log)) = self.passing.take()
        {
            self.lanes.iter_mut().for_each(|lane| lane.has_barrier = false);
            return Some(Step::Complete(log));
        }
        let goes_on = self.returned >= self.limits.rounds || self.rows_of_epoch >= ROWS;
        let all_ended = self.inputs_ended && self.last.is_some_and(|round| !round.open);
        let has_had_time = self.returned >= self.limits.rounds.max(ROUNDS_WHEN_DRAINED) || self.rows_of_epoch >= ROWS;
        if (self.is_at_rest() && all_ended) || (self.is_drained && self.inputs_ended && has_had_time) {
            return Some(Step::End);
        }
        if (self.is_at_rest() || goes_on)
            && let Some(barrier) = self.at.take()
        {
            (self.epoch, self.rows_of_epoch) = (barrier.epoch.next(), 0);
            (self.sent, self.returned, self.last) = (0, 0, None);
            self.passing = Some((barrier, Vec::new()));
            return Some(Step::Pass(barrier));
        }
        let is_closed = self.at.is_some() || self.inputs_ended;
        if !is_closed || self.sent > self.returned || self.is_at_rest() || self.stops() {
            return None;
        }
        self.sent += 1;
        let (rows, open) = (std::mem::take(&mut self.rows), !self.inputs_ended);
        Some(Step::Send(Round { epoch: self.epoch, number: self.sent, rows, open }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Batch;
    use crate::testing::rows;
    use arrow::array::AsArray;
    use expect_test::{Expect, expect};
    use tidemill_state::{CheckpointId, EventTime};

    /// Feeds lines and prints what is to be done after each. `in | 1` is a barrier (`in ! 1` one that is a checkpoint) on the inputs, `in $` their
    /// end, `sent 3` rows that the head sends; `0 o 2 7` is what comes back on lane 0: a token with its number and the rows it tells of
    /// (behind it `open`), a barrier, or a row.
    fn check(lanes: usize, rounds_max: u64, script: &str, expected: Expect) {
        let mut rounds = Rounds::new(lanes, Limits { rounds: rounds_max, bytes: usize::MAX });
        let mut printed = String::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            printed.push_str(&format!("{line}\n"));
            let number = |word: &str| word.parse::<u64>().expect("a number");
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["in", "|", epoch] => rounds.arrived(barrier(number(epoch), None)),
                ["in", "!", epoch] => rounds.arrived(barrier(number(epoch), Some(CheckpointId(1)))),
                ["in", "$"] => rounds.inputs_ended(),
                ["sent", count] => rounds.sent(number(count) as usize),
                ["drain"] => rounds.drain(),
                [lane, what @ ..] => {
                    let epoch = rounds.epoch;
                    let message = match what {
                        ["o", n, rows, open @ ..] => Message::Round(Round {
                            epoch,
                            number: number(n),
                            rows: number(rows),
                            open: !open.is_empty(),
                        }),
                        ["|", epoch] => Message::Barrier(barrier(number(epoch), None)),
                        row => Message::Batch(Batch::append(self::rows(row))),
                    };
                    rounds.came_back(LaneId(number(lane) as usize), &message);
                }
                [] => {}
            }
            while let Some(step) = rounds.step() {
                let text = match step {
                    Step::Send(Round { number, rows, open, .. }) => {
                        format!("send o {number} {rows}{}", if open { " open" } else { "" })
                    }
                    Step::Pass(barrier) => format!("pass | {}", barrier.epoch),
                    Step::Complete(rows) => {
                        let word = |rows: &RecordBatch| rows.column(0).as_string::<i32>().value(0).to_string();
                        format!("complete {:?}", rows.iter().map(word).collect::<Vec<_>>())
                    }
                    Step::End => {
                        printed.push_str("    => end\n");
                        break;
                    }
                };
                printed.push_str(&format!("    => {text}\n"));
            }
        }
        expected.assert_eq(&printed);
    }

    fn barrier(epoch: u64, checkpoint: Option<CheckpointId>) -> Barrier {
        Barrier { epoch: Epoch(epoch), time: EventTime(0), checkpoint, stops: false }
    }

    #[test]
    fn a_barrier_passes_when_two_tokens_in_a_row_bring_nothing_between_them() {
        check(
            1,
            100,
            "sent 1
             in | 1
             0 a
             sent 1
             0 o 1 1 open
             0 o 2 1 open
             0 o 3 0 open
             0 | 1",
            expect![[r#"
                sent 1
                in | 1
                    => send o 1 1 open
                0 a
                sent 1
                0 o 1 1 open
                    => send o 2 1 open
                0 o 2 1 open
                    => send o 3 0 open
                0 o 3 0 open
                    => pass | 1
                0 | 1
                    => complete []
            "#]],
        );
    }

    #[test]
    fn a_token_has_come_back_when_all_lanes_have_brought_it_and_the_busiest_head_counts() {
        check(
            2,
            100,
            "in $
             0 o 1 0
             1 o 1 5
             0 o 2 0
             1 o 2 5
             0 o 3 0
             1 o 3 0",
            expect![[r#"
                in $
                    => send o 1 0
                0 o 1 0
                1 o 1 5
                    => send o 2 0
                0 o 2 0
                1 o 2 5
                    => send o 3 0
                0 o 3 0
                1 o 3 0
                    => end
            "#]],
        );
    }

    #[test]
    fn a_token_of_a_faster_head_is_kept_until_this_head_has_sent_its_own() {
        check(
            2,
            100,
            "0 o 1 5
             in $
             1 o 1 0
             1 o 2 0
             0 o 2 0",
            expect![[r#"
                0 o 1 5
                in $
                    => send o 1 0
                1 o 1 0
                    => send o 2 0
                1 o 2 0
                0 o 2 0
                    => end
            "#]],
        );
    }

    #[test]
    fn rows_in_flight_behind_a_barrier_that_did_not_wait_belong_to_the_checkpoint_lane_by_lane() {
        check(
            2,
            1,
            "in ! 1
             0 o 1 1 open
             1 o 1 1 open
             0 a
             1 | 1
             1 b
             0 c
             0 | 1
             0 d",
            expect![[r#"
                in ! 1
                    => send o 1 0 open
                0 o 1 1 open
                1 o 1 1 open
                    => pass | 1
                0 a
                1 | 1
                1 b
                0 c
                0 | 1
                    => complete ["a", "c"]
                0 d
            "#]],
        );
    }

    #[test]
    fn a_loop_at_rest_whose_body_still_reads_waits_for_the_barrier_and_ends_once_nothing_is_open() {
        check(
            1,
            100,
            "in $
             0 o 1 0 open
             0 o 2 0 open
             in | 1
             0 | 1
             0 o 1 0
             0 o 2 0",
            expect![[r#"
                in $
                    => send o 1 0
                0 o 1 0 open
                    => send o 2 0
                0 o 2 0 open
                in | 1
                    => pass | 1
                    => send o 1 0
                0 | 1
                    => complete []
                0 o 1 0
                    => send o 2 0
                0 o 2 0
                    => end
            "#]],
        );
    }

    #[test]
    fn a_barrier_that_has_waited_long_enough_does_not_wait_for_a_token_that_is_away() {
        check(
            1,
            1,
            "in $
             0 o 1 4
             in | 1
             0 o 2 4",
            expect![[r#"
                in $
                    => send o 1 0
                0 o 1 4
                    => send o 2 0
                in | 1
                    => pass | 1
                    => send o 1 0
                0 o 2 4
            "#]],
        );
    }
}
