//! Tests of the queue.

use super::*;
use proptest::prelude::*;

/// Runs the writer until it waits or ends. Returns the written messages, and `None` for each report.
fn drain(queue: &mut OutputQueue) -> Vec<Option<Vec<u8>>> {
    let mut written = Vec::new();
    loop {
        match queue.next_step() {
            WriterStep::Write(message) => written.push(Some(message)),
            WriterStep::Report(_) => written.push(None),
            WriterStep::Reopen => {}
            WriterStep::Wait | WriterStep::Exit => return written,
        }
        queue.finish_step(true);
    }
}

fn message(length: usize) -> Vec<u8> {
    vec![b'x'; length]
}

#[test]
fn full_queue_drops_until_half_is_free() {
    let mut queue = OutputQueue::new(4 * (ENTRY_COST + 10));
    for _ in 0..4 {
        assert_eq!(queue.push(message(10)), PushResult::Queued);
    }
    assert_eq!(queue.push(message(10)), PushResult::Dropped);
    for _ in 0..3 {
        assert!(matches!(queue.next_step(), WriterStep::Write(_)));
        queue.finish_step(true);
        if queue.used > 60 {
            assert_eq!(queue.push(message(10)), PushResult::Dropped);
        }
    }
    // The report stands before the next message and counts all that were dropped.
    assert_eq!(queue.push(message(0)), PushResult::Dropped);
    assert!(matches!(queue.next_step(), WriterStep::Write(_)));
    queue.finish_step(true);
    assert_eq!(queue.push(message(0)), PushResult::Queued);
    assert_eq!(queue.next_step(), WriterStep::Report(5));
    queue.finish_step(true);
    assert_eq!(queue.next_step(), WriterStep::Write(Vec::new()));
}

#[test]
fn report_of_a_failing_output_waits_for_a_message() {
    let mut queue = OutputQueue::new(1000);
    queue.push(message(1));
    assert!(matches!(queue.next_step(), WriterStep::Write(_)));
    queue.finish_step(false);
    assert_eq!(queue.next_step(), WriterStep::Wait);
    assert!(queue.is_idle());
    assert_eq!(queue.unwritten(), 1);
    assert_eq!(queue.push(message(2)), PushResult::Wake);
    assert_eq!(queue.next_step(), WriterStep::Report(1));
    queue.finish_step(false);
    assert_eq!(queue.next_step(), WriterStep::Write(message(2)));
    queue.finish_step(true);
    assert_eq!(queue.next_step(), WriterStep::Report(1));
    queue.finish_step(true);
    assert_eq!(queue.unwritten(), 0);
}

#[test]
fn closed_queue_writes_the_rest_and_refuses_more() {
    let mut queue = OutputQueue::new(1000);
    queue.push(message(1));
    queue.close();
    assert_eq!(queue.push(message(2)), PushResult::Dropped);
    assert_eq!(queue.next_step(), WriterStep::Write(message(1)));
    queue.finish_step(true);
    assert_eq!(queue.next_step(), WriterStep::Report(1));
    queue.finish_step(true);
    assert_eq!(queue.next_step(), WriterStep::Exit);
}

#[test]
fn full_queue_holds_one_reopen_in_order() {
    let mut queue = OutputQueue::new(ENTRY_COST + 1);
    queue.push(message(1));
    for _ in 0..3 {
        assert_eq!(queue.push_reopen(), PushResult::Queued);
        assert_eq!(queue.push(message(1)), PushResult::Dropped);
    }
    assert_eq!(queue.next_step(), WriterStep::Write(message(1)));
    queue.finish_step(false);
    assert_eq!(queue.next_step(), WriterStep::Reopen);
    queue.finish_step(true);
    // The new destination is tried at once.
    assert_eq!(queue.next_step(), WriterStep::Report(4));
    queue.finish_step(true);
    assert_eq!(queue.next_step(), WriterStep::Wait);
    assert_eq!(queue.push_reopen(), PushResult::Wake);
}

#[test]
fn resume_opens_a_closed_queue_until_the_writer_ends() {
    let mut queue = OutputQueue::new(1000);
    queue.close();
    assert!(queue.resume());
    assert_eq!(queue.push(message(1)), PushResult::Queued);
    queue.close();
    assert_eq!(queue.next_step(), WriterStep::Write(message(1)));
    queue.finish_step(true);
    assert_eq!(queue.next_step(), WriterStep::Exit);
    assert!(!queue.resume());
    assert_eq!(queue.push(message(1)), PushResult::Dropped);
}

#[test]
fn only_the_first_push_wakes_a_waiting_writer() {
    let mut queue = OutputQueue::new(1000);
    assert_eq!(queue.next_step(), WriterStep::Wait);
    assert_eq!(queue.push(message(1)), PushResult::Wake);
    assert_eq!(queue.push(message(1)), PushResult::Queued);
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Write { succeeds: bool },
}

proptest! {
    /// Each message is written, reported as lost, or still counted as unwritten; memory stays within the capacity.
    #[test]
    fn every_message_is_written_or_counted(
        capacity in 0_usize..600,
        steps in proptest::collection::vec(
            prop_oneof![
                (0_usize..200).prop_map(Step::Push),
                any::<bool>().prop_map(|succeeds| Step::Write { succeeds }),
            ],
            0..100,
        ),
    ) {
        let mut queue = OutputQueue::new(capacity);
        let (mut pushed, mut written, mut reported) = (0_u64, 0_u64, 0_u64);
        for step in steps {
            match step {
                Step::Push(length) => {
                    queue.push(message(length));
                    pushed += 1;
                }
                Step::Write { succeeds } => match queue.next_step() {
                    WriterStep::Wait | WriterStep::Exit => {}
                    step => {
                        queue.finish_step(succeeds);
                        match step {
                            WriterStep::Report(count) if succeeds => reported += count,
                            WriterStep::Write(_) if succeeds => written += 1,
                            _ => {}
                        }
                    }
                },
            }
            prop_assert!(queue.used <= capacity);
            prop_assert_eq!(written + reported + queue.unwritten(), pushed);
        }
        queue.close();
        drain(&mut queue);
        prop_assert!(queue.is_idle());
    }

    /// The messages of an output that keeps up come out complete and in order.
    #[test]
    fn order_is_kept(lengths in proptest::collection::vec(0_usize..50, 0..20)) {
        let mut queue = OutputQueue::new(20 * (ENTRY_COST + 50));
        for length in &lengths {
            queue.push(message(*length));
        }
        let written: Vec<usize> = drain(&mut queue).into_iter().map(|m| m.unwrap().len()).collect();
        prop_assert_eq!(written, lengths);
    }
}
