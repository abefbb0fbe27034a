//! Ops decoded from bytes, as by the fuzz target `table_ops`.

use crate::refinement::Steps;
use crate::{Op, Violation, World};
use arbitrary::Unstructured;

/// Applies the ops decoded from pseudo-random bytes to a new world for each input, and ends its loop. The bytes are the
/// same in every run and not guided by coverage. Returns the steps that were compared with the relation.
///
/// # Errors
///
/// The number of inputs so far, and the first [`Violation`].
pub fn check(inputs: u32, world: impl Fn() -> World) -> Result<Steps, (u32, Violation)> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut steps = Steps::default();
    for tried in 1..=inputs {
        let input: Vec<u8> = (0..80).flat_map(|_| next()).collect();
        let mut world = world();
        apply(&mut world, &input).map_err(|violation| (tried, violation))?;
        steps.add(world.steps());
    }
    Ok(steps)
}

fn apply(world: &mut World, input: &[u8]) -> Result<(), Violation> {
    let mut input = Unstructured::new(input);
    while !input.is_empty()
        && let Ok(op) = input.arbitrary::<Op>()
    {
        world.apply(op)?;
    }
    world.wind_up()
}
