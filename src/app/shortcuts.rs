//! The keys of the window: one table, which the window asks and the help shows.

use egui::{Context, Id, Key, KeyboardShortcut, Modifiers, Popup};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shortcut {
    RunOrPause,
    StepToken,
    StepLayer,
    Back,
    Cancel,
    Rerun,
    TimelineStart,
    TimelineEnd,
    NextPane,
    PreviousPane,
    /// The pane at this place, from 0.
    Pane(usize),
    Theme,
    ZoomIn,
    ZoomOut,
    ZoomReset,
    Help,
    Learn,
    Open,
    Save,
    Screenshot,
    Quit,
}

/// Under which heading the help lists a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Run,
    Window,
    Files,
}

impl Group {
    /// All of them, in the order of the help.
    pub const ALL: [Self; 3] = [Self::Run, Self::Window, Self::Files];

    /// The heading.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "Run and timeline",
            Self::Window => "Window",
            Self::Files => "Files",
        }
    }
}

/// A line of the table: the keys of a shortcut and what they do.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    pub shortcut: Shortcut,
    pub key: KeyboardShortcut,
    /// A second key for the same.
    pub other_key: Option<KeyboardShortcut>,
    pub group: Group,
    /// Two or three words.
    pub name: &'static str,
    /// One sentence.
    pub what: &'static str,
}

impl Binding {
    const fn new(
        shortcut: Shortcut,
        key: KeyboardShortcut,
        group: Group,
        name: &'static str,
        what: &'static str,
    ) -> Self {
        Self { shortcut, key, other_key: None, group, name, what }
    }

    const fn or(self, key: KeyboardShortcut) -> Self {
        Self { other_key: Some(key), ..self }
    }

    const fn pane(index: usize, key: Key) -> Self {
        Self::new(Shortcut::Pane(index), plain(key), Group::Window, "Show a pane", "Shows the pane at this place.")
    }

    /// Both keys, or the only one.
    pub fn keys(&self) -> impl Iterator<Item = KeyboardShortcut> {
        [Some(self.key), self.other_key].into_iter().flatten()
    }
}

const fn plain(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::NONE, key)
}

/// With Ctrl, or with Cmd on a Mac.
const fn command(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND, key)
}

/// Every key of the window.
pub static BINDINGS: [Binding; 28] = {
    use Group::{Files, Run, Window};
    use Shortcut as S;
    [
        Binding::new(
            S::RunOrPause,
            plain(Key::Space),
            Run,
            "Run or pause",
            "Starts, pauses or resumes a run or a trace.",
        ),
        Binding::new(
            S::StepToken,
            plain(Key::ArrowRight),
            Run,
            "Next token",
            "Runs or shows a token more of every lane.",
        ),
        Binding::new(S::StepLayer, plain(Key::L), Run, "Next layer", "Goes on by one layer of the model."),
        Binding::new(S::Back, plain(Key::ArrowLeft), Run, "Back", "Shows one token less."),
        Binding::new(S::TimelineStart, plain(Key::Home), Run, "First token", "Goes to the beginning of the timeline."),
        Binding::new(S::TimelineEnd, plain(Key::End), Run, "Last token", "Goes to the end of the timeline."),
        Binding::new(S::Rerun, plain(Key::R), Run, "Run again", "Starts the same run from its beginning."),
        Binding::new(S::Cancel, plain(Key::Escape), Run, "Cancel", "Ends the run, or closes this list."),
        Binding::new(S::NextPane, plain(Key::PageDown), Window, "Next pane", "Shows the pane to the right."),
        Binding::new(S::PreviousPane, plain(Key::PageUp), Window, "Previous pane", "Shows the pane to the left."),
        Binding::pane(0, Key::Num1),
        Binding::pane(1, Key::Num2),
        Binding::pane(2, Key::Num3),
        Binding::pane(3, Key::Num4),
        Binding::pane(4, Key::Num5),
        Binding::pane(5, Key::Num6),
        Binding::pane(6, Key::Num7),
        Binding::pane(7, Key::Num8),
        Binding::new(S::Theme, plain(Key::T), Window, "Next look", "Goes from dark to light to projector."),
        Binding::new(S::ZoomIn, command(Key::Plus), Window, "Larger", "Makes everything larger.")
            .or(command(Key::Equals)),
        Binding::new(S::ZoomOut, command(Key::Minus), Window, "Smaller", "Makes everything smaller."),
        Binding::new(S::ZoomReset, command(Key::Num0), Window, "Usual size", "Takes the zoom back."),
        Binding::new(S::Help, plain(Key::F1), Window, "Help", "Shows or hides this list.").or(plain(Key::Questionmark)),
        Binding::new(S::Learn, plain(Key::F2), Window, "Learn", "Opens or closes the lessons."),
        Binding::new(S::Open, command(Key::O), Files, "Open", "Opens the trace of an earlier run."),
        Binding::new(S::Save, command(Key::S), Files, "Save", "Saves the run that is shown."),
        Binding::new(S::Screenshot, command(Key::P), Files, "Picture", "Writes a picture of the window."),
        Binding::new(S::Quit, command(Key::Q), Files, "Quit", "Closes the window."),
    ]
};

/// The shortcut that was pressed since the last frame, if any; its key is used up then.
///
/// While a widget has the keyboard (a field that is written in, a button that was reached with Tab) or a menu is open, keys are theirs,
/// except those with Ctrl and F1. To be called once in every frame, before anything is drawn.
#[must_use]
pub fn pressed(ctx: &Context) -> Option<Shortcut> {
    let has_focus = ctx.egui_wants_keyboard_input();
    let had_focus =
        ctx.data_mut(|data| std::mem::replace(data.get_temp_mut_or_default(Id::unique("had focus")), has_focus));
    let is_taken = has_focus || Popup::is_any_open(ctx);
    let is_ours = |key: &KeyboardShortcut| match key.logical_key {
        Key::F1 => true,
        // egui has taken the focus away before anybody sees the key: it was meant to leave the field, not to end the run.
        Key::Escape => !is_taken && !had_focus,
        _ => !is_taken || key.modifiers.command,
    };
    let is_pressed = |key| ctx.input_mut(|input| input.consume_shortcut(&key));
    BINDINGS.iter().find(|binding| binding.keys().filter(is_ours).any(is_pressed)).map(|binding| binding.shortcut)
}

/// A line of the help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelpLine {
    /// Such as `Ctrl +`; each is drawn as a key.
    pub keys: Vec<String>,
    pub name: &'static str,
    pub what: &'static str,
}

/// What the help lists under a heading. The numbers of the panes are one line.
#[must_use]
pub fn help_lines(group: Group, is_mac: bool) -> Vec<HelpLine> {
    let of_group = BINDINGS.iter().filter(|binding| binding.group == group);
    let lines = of_group.filter_map(|binding| {
        let keys = match binding.shortcut {
            Shortcut::Pane(0) => vec!["1 to 8".to_owned()],
            Shortcut::Pane(_) => return None,
            _ => binding.keys().map(|key| key_name(key, is_mac)).collect(),
        };
        Some(HelpLine { keys, name: binding.name, what: binding.what })
    });
    lines.collect()
}

/// A key as it is written on a keyboard.
fn key_name(KeyboardShortcut { modifiers, logical_key }: KeyboardShortcut, is_mac: bool) -> String {
    let name = match logical_key {
        Key::Plus => "+",
        Key::Minus => "-",
        Key::Equals => "=",
        Key::Questionmark => "?",
        Key::Escape => "Esc",
        Key::PageUp => "Page Up",
        Key::PageDown => "Page Down",
        Key::ArrowLeft => "Left arrow",
        Key::ArrowRight => "Right arrow",
        key => key.name(),
    };
    match (modifiers.command, is_mac) {
        (false, _) => name.to_owned(),
        (true, false) => format!("Ctrl {name}"),
        (true, true) => format!("Cmd {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::{Event, RawInput};

    /// What is pressed by a key in a window with a field, which has the keyboard or not.
    fn press(key: KeyboardShortcut, extra: Modifiers, is_writing: bool) -> (Option<Shortcut>, bool) {
        let ctx = Context::default();
        let mut text = String::new();
        let mut frame = |input: RawInput, focus: bool| {
            let mut found = None;
            let mut is_left = false;
            let mut output = ctx.run_ui(input, |ui| {
                found = found.or(pressed(ui.ctx()));
                is_left = ui.input(|input| input.key_pressed(key.logical_key));
                let field = ui.text_edit_singleline(&mut text);
                if focus {
                    field.request_focus();
                }
            });
            output.textures_delta.clear();
            (found, is_left)
        };
        frame(RawInput::default(), is_writing);
        frame(RawInput::default(), is_writing);
        // As egui's backends fill it in elsewhere than on a Mac.
        let ctrl = Modifiers { ctrl: key.modifiers.command, ..key.modifiers };
        let modifiers = ctrl | extra;
        let event = Event::Key { key: key.logical_key, physical_key: None, pressed: true, repeat: false, modifiers };
        frame(RawInput { events: vec![event], ..RawInput::default() }, is_writing)
    }

    #[test]
    fn no_key_is_used_twice() {
        let keys: Vec<KeyboardShortcut> = BINDINGS.iter().flat_map(Binding::keys).collect();
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{key:?}");
        }
        let shortcuts: Vec<Shortcut> = BINDINGS.iter().map(|binding| binding.shortcut).collect();
        assert!((0..shortcuts.len()).all(|index| !shortcuts[..index].contains(&shortcuts[index])));
    }

    #[test]
    fn every_shortcut_is_reached_by_its_keys_and_they_are_used_up() {
        for binding in &BINDINGS {
            for key in binding.keys() {
                assert_eq!(press(key, Modifiers::NONE, false), (Some(binding.shortcut), false), "{key:?}");
            }
        }
        // A question mark and a plus need Shift on many keyboards.
        assert_eq!(press(plain(Key::Questionmark), Modifiers::SHIFT, false).0, Some(Shortcut::Help));
        assert_eq!(press(command(Key::Plus), Modifiers::SHIFT, false).0, Some(Shortcut::ZoomIn));
        assert_eq!(press(plain(Key::R), Modifiers::CTRL | Modifiers::COMMAND, false).0, None, "Ctrl R is not R");
    }

    #[test]
    fn a_field_that_is_written_in_keeps_its_keys() {
        for binding in &BINDINGS {
            for key in binding.keys() {
                let expected = (key.modifiers.command || key.logical_key == Key::F1).then_some(binding.shortcut);
                let (found, is_left) = press(key, Modifiers::NONE, true);
                assert_eq!((found, is_left), (expected, expected.is_none()), "{key:?}");
            }
        }
    }

    #[test]
    fn the_help_has_every_shortcut_once() {
        let lines: Vec<HelpLine> = Group::ALL.into_iter().flat_map(|group| help_lines(group, false)).collect();
        assert_eq!(lines.len(), BINDINGS.len() - 7, "eight panes are one line");
        let keys = |name: &str| lines.iter().find(|line| line.name == name).map(|line| line.keys.join(", "));
        assert_eq!(keys("Larger").as_deref(), Some("Ctrl +, Ctrl ="));
        assert_eq!(keys("Help").as_deref(), Some("F1, ?"));
        assert_eq!(keys("Show a pane").as_deref(), Some("1 to 8"));
        assert_eq!(help_lines(Group::Files, true)[0].keys, ["Cmd O"]);
        assert!(lines.iter().all(|line| line.what.ends_with('.') && line.what.len() < 45 && line.name.len() < 20));
    }
}
