//! The planner, driven through the names of its fields, and what it draws.
#![cfg(feature = "app")]

use egui::{Key, Modifiers, Role, Ui};
use egui_kittest::{Harness, kittest::Queryable};
use kvlab::app::{panels::planner, theme};

const RUN: &str = "none,contiguous,paged:16+q4_0";

fn pane() -> Harness<'static, planner::View> {
    let draw = |ui: &mut Ui, view: &mut planner::View| planner::show(ui, view, RUN, &[]);
    let pane = Harness::builder().with_size([980.0, 740.0]).build_ui_state(draw, planner::View::default());
    theme::install(&pane.ctx);
    pane
}

fn write(pane: &mut Harness<'_, planner::View>, field: &str, text: &str) {
    pane.get_by_role_and_label(Role::TextInput, field).focus();
    pane.step();
    pane.key_combination_modifiers(Modifiers::COMMAND, &[Key::A]);
    pane.event(egui::Event::Text(text.into()));
    pane.run_steps(2);
}

#[test]
fn the_pane_opens_with_a_plan_of_the_default_lanes() {
    let mut pane = pane();
    pane.run_steps(2);
    pane.get_by_label_contains("7b: 32 layers, 32 heads");
    // 24 GiB and 4 GiB for a user in f32, 2 in f16.
    pane.get_by_label_contains("users that fit: contiguous 6, 6, 6; paged:16 6, 9, 15; paged:16+f16 12,");
    pane.get_by_label_contains("bytes of one user, tokens that fit: contiguous 24,576;");
    pane.check_accessibility();
}

#[test]
fn fields_change_the_plan_and_errors_stand_beside_them() {
    let mut pane = pane();
    pane.run_steps(2);
    write(&mut pane, "Memory", "8GiB");
    pane.get_by_label_contains("users that fit: contiguous 2,");
    write(&mut pane, "Users", "3");
    assert!(pane.query_all_by_label_contains("no, 12.00 GiB: 4.00 GiB short").count() >= 1);
    write(&mut pane, "Shared prefix", "9999");
    pane.get_by_label_contains("has no token of its own left");
    assert!(pane.query_by_label_contains("users that fit:").is_none(), "no numbers of other fields");
    write(&mut pane, "Shared prefix", "0");
    write(&mut pane, "Model to plan for", "70b");
    pane.get_by_label_contains("70b: 80 layers, 64 heads, 8 key heads");
    for odd in ["", "\u{e9}", "-1", "1e99", "99999999999999999999999", "none,", "paged:", "0"] {
        for field in ["Model to plan for", "Memory", "Context", "Users", "Shared prefix", "Lanes to plan for"] {
            write(&mut pane, field, odd);
        }
    }
}

#[test]
fn lanes_of_the_run_are_copied_without_none() {
    let mut pane = pane();
    pane.run_steps(2);
    pane.get_by_role_and_label(Role::Button, "Lanes of the run").click();
    pane.run_steps(2);
    assert_eq!(pane.state().fields.lanes, "contiguous,paged:16+q4_0");
    pane.get_by_label("log scale of users").click();
    pane.run_steps(2);
    assert!(pane.state().is_log);
}
