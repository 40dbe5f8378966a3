//! The pane of the numbers inside, with what a session of the story model finds.
#![cfg(feature = "app")]

mod support;

use std::sync::{Arc, LazyLock};

use egui::{ColorImage, Role, Theme};
use egui_kittest::{
    Harness, TestRenderer,
    kittest::{NodeT, Queryable},
};
use kvlab::{
    app::{
        panels::inside::{Context, View, Which, show},
        raster::Raster,
        theme,
    },
    engine::{Ask, Inspection, Session, SessionConfig},
    experiment::DEFAULT_PROMPT,
    model::{LoadedModel, ModelSource},
};
use support::{NEVER, load};

static MODEL: LazyLock<Arc<LoadedModel>> = LazyLock::new(|| Arc::new(load(&ModelSource::Story)));

/// A lane that stands still, and the pane over it.
struct Lane {
    name: &'static str,
    texts: Vec<String>,
    inspection: Option<Inspection>,
    /// Why a look is not possible, if so.
    refusal: Option<&'static str>,
    view: View,
    asked: Vec<Ask>,
}

fn session(lane: &str, n_generated: usize) -> Session {
    let mut session = Session::new(MODEL.clone(), lane.parse().expect(lane), SessionConfig::default()).expect(lane);
    let prompt = MODEL.tokenizer.as_ref().expect("the story model has one").encode(DEFAULT_PROMPT).expect("ids");
    session.prefill(&prompt, &NEVER).expect("prefill");
    for _ in 0..n_generated {
        session.decode(&NEVER).expect("a token");
    }
    session
}

/// What a look at a lane finds after some tokens.
fn lane(name: &'static str, n_generated: usize, ask: Ask) -> Lane {
    let mut session = session(name, n_generated);
    let tokenizer = MODEL.tokenizer.as_ref().expect("the story model has one");
    let texts = session.tokens().iter().map(|token| tokenizer.decode(&[*token]).expect("a text")).collect();
    let inspection = Some(session.inspect(ask, &NEVER).expect("a look"));
    let mut view = View::default();
    (view.layer, view.head, view.position) = (ask.layer, ask.head, ask.position);
    Lane { name, texts, inspection, refusal: None, view, asked: vec![] }
}

struct Renderer(Raster);

impl TestRenderer for Renderer {
    fn handle_delta(&mut self, delta: &mut egui::TexturesDelta) {
        self.0.handle_delta(delta);
    }
}

fn pane(lane: Lane, theme: Theme, size: [f32; 2]) -> (Harness<'static, Lane>, Raster) {
    let raster = Raster::default();
    let builder = Harness::builder().with_size(size).with_theme(theme).renderer(Renderer(raster.clone()));
    let draw = |ui: &mut egui::Ui, lane: &mut Lane| {
        let config = MODEL.model.config();
        let texts = &lane.texts;
        let context = Context {
            lane: 2,
            name: lane.name,
            n_layer: config.n_layer,
            n_head: config.n_head,
            stored_tokens: lane.texts.len().saturating_sub(1),
            token_text: &|position| texts.get(position).map(String::as_str),
            inspection: lane.inspection.as_ref(),
            possible: lane.refusal.map_or(Ok(()), Err),
        };
        lane.asked.extend(show(ui, &mut lane.view, context));
    };
    (builder.with_context_setup(theme::install).build_ui_state(draw, lane), raster)
}

/// What is on the screen; kept under `name` in the folder `KVLAB_TEST_PICTURES`, if that is set.
fn frame(pane: &mut Harness<'_, Lane>, raster: &Raster, name: &str) -> ColorImage {
    pane.remove_cursor();
    pane.run_steps(4);
    let frame = raster.render(&pane.ctx, pane.output());
    if let Some(folder) = std::env::var_os("KVLAB_TEST_PICTURES") {
        let pixels: Vec<u8> = frame.pixels.iter().flat_map(egui::Color32::to_array).collect();
        let size = |pixels: usize| u32::try_from(pixels).expect("a window's size");
        let image = image::RgbaImage::from_raw(size(frame.width()), size(frame.height()), pixels);
        let path = std::path::Path::new(&folder).join(format!("{name}.png"));
        image.expect("four bytes a pixel").save(path).expect("a folder that exists");
    }
    frame
}

const ASK: Ask = Ask { layer: 1, head: 2, position: 20 };

#[test]
fn the_pane_shows_what_was_found() {
    let (mut window, _) = pane(lane("paged:16+q4_0", 30, ASK), Theme::Dark, [960.0, 620.0]);
    window.run_steps(3);
    assert!(window.state().asked.is_empty(), "it was found already");
    window.get_by_label("key by channel: 32 numbers, exact and stored");
    window.get_by_label("levels of the group: 16 levels, 32 numbers");
    window.get_by_label("channels 0 to 31");
    let softmax = window.state().inspection.as_ref().expect("found").softmax.clone();
    for tile in &softmax.tiles {
        let (first, last) = (tile.positions.start, tile.positions.end - 1);
        let range = if first == last { first.to_string() } else { format!("{first}..{last}") };
        window.get_by_label(&format!("tokens {range}: {:.1} % of the weight", tile.share * 100.0));
    }
    window.get_by_label("value").click();
    window.run_steps(3);
    assert_eq!(window.state().view.which, Which::Value);
    window.get_by_label("value by channel: 32 numbers, exact and stored");
    assert!(window.state().asked.is_empty(), "both were found at once");
}

#[test]
fn a_choice_is_asked_for_once_and_so_is_a_lane_that_went_on() {
    let (mut window, _) = pane(lane("paged:16", 5, ASK), Theme::Dark, [960.0, 620.0]);
    window.run_steps(2);
    let field = |window: &mut Harness<'_, Lane>, name: &str| {
        window.get_by_role_and_label(Role::SpinButton, name).focus();
        window.run_steps(1);
        window.key_press(egui::Key::ArrowUp);
        window.run_steps(3);
    };
    window.state_mut().view.layer = 3;
    window.run_steps(3);
    assert_eq!(window.state().asked, [Ask { layer: 3, ..ASK }]);
    field(&mut window, "head");
    let asked = window.state().asked.clone();
    assert_eq!(asked.last(), Some(&Ask { layer: 3, head: window.state().view.head, ..ASK }));
    // The answer is there, the lane makes a token, and then runs.
    window.state_mut().asked.clear();
    window.state_mut().texts.push("more".into());
    window.run_steps(3);
    assert_eq!(window.state().asked.len(), 1, "the lane is another now");
    window.state_mut().refusal = Some("The lane is running; pause it to look inside");
    window.state_mut().view.position = 3;
    window.run_steps(3);
    assert_eq!(window.state().asked.len(), 1, "not while it runs");
    let shown =
        "The lane is running; pause it to look inside. Shown is layer 2, head 3, token 20, when 72 tokens were stored.";
    window.get_by_label(shown);
    window.state_mut().refusal = None;
    window.run_steps(3);
    assert_eq!(window.state().asked.last().map(|ask| ask.position), Some(3), "once it stands still");
    window.state_mut().view.position = 10_000;
    window.run_steps(3);
    assert_eq!(window.state().asked.last().map(|ask| ask.position), Some(72), "the last one there is");
}

#[test]
fn what_is_not_there_is_said() {
    let nothing =
        |refusal, texts| Lane { name: "none", texts, inspection: None, refusal, view: View::default(), asked: vec![] };
    let (mut window, _) = pane(nothing(Some("Press Pause"), vec!["a".into(); 9]), Theme::Light, [700.0, 500.0]);
    window.run_steps(3);
    window.get_by_label("No look inside now");
    window.get_by_label("Press Pause");
    let (mut window, _) = pane(nothing(None, vec![]), Theme::Light, [700.0, 500.0]);
    window.run_steps(3);
    window.get_by_label("No token is stored yet");
    assert!(window.get_by_role_and_label(Role::SpinButton, "token").accesskit_node().is_disabled());
    let (mut window, _) = pane(nothing(None, vec!["a".into(); 9]), Theme::Light, [700.0, 500.0]);
    window.run_steps(3);
    window.get_by_label("Looking");
    assert_eq!(window.state().asked, [Ask::default()]);

    for (name, ask, label) in [
        ("none", ASK, "This lane has no cache"),
        ("paged:4+window:4/16", ASK, "This token was evicted"),
        ("paged:32+kivi:2", Ask { position: 90, ..ASK }, "Kept in f32 as yet"),
        ("paged:16+f16", ASK, "This format stores each number by itself"),
        ("paged:16+int4+rot", ASK, "Numbers of the rotated row"),
    ] {
        let (mut window, _) = pane(lane(name, 30, ask), Theme::Dark, [960.0, 620.0]);
        window.run_steps(3);
        window.get_by_label_contains(label);
    }
}

#[test]
fn pictures_in_both_themes() {
    let looks = [
        ("paged:16+q4_0", ASK, 0),
        ("paged:32+kivi:2", ASK, 7),
        ("paged:16+kvq:3", ASK, 0),
        ("contiguous+int8", ASK, 3),
        ("paged:16+int4+rot", ASK, 3),
    ];
    for (name, ask, channel) in looks {
        for (theme, size) in
            [(Theme::Dark, [960.0, 620.0]), (Theme::Light, [1280.0, 800.0]), (Theme::Light, [620.0, 800.0])]
        {
            let mut lane = lane(name, 30, ask);
            lane.view.channel = channel;
            let (mut window, raster) = pane(lane, theme, size);
            let picture = frame(&mut window, &raster, &format!("inside-{name}-{theme:?}-{}", size[0]));
            let color = theme::lane_color(2, &window.ctx.style_of(theme).visuals);
            let pixels = picture.pixels.iter().filter(|pixel| **pixel == color).count();
            assert!(pixels > 50, "{name}: the lane's colour is in {pixels} pixels");
        }
    }
}
