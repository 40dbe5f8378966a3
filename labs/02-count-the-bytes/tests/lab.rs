//! The lab keeps its promises.

#[test]
fn the_solution_passes_mistakes_are_caught_and_the_exercise_is_red_for_the_stated_reason() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    lab02::LAB.keeps_its_promises(folder).expect("kept");
}
