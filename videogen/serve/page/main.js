// The studio: what each part of the page does when something happens in another. The parts know nothing of each other.

import { Failure, firstModel, limits } from "./api.js";
import { Collection } from "./collection.js";
import { Composer } from "./composer.js";
import { conditionOf, showControls, showPlaying } from "./controls.js";
import { byId, setText } from "./dom.js";
import { figuresOf, showFigures } from "./figures.js";
import { Film } from "./film.js";
import { listenForKeys } from "./keys.js";
import { admitted } from "./login.js";
import { offerLogout } from "./logout.js";
import { clear, say, warn, warnOf } from "./notices.js";
import { Player } from "./player.js";
import { Reel } from "./reel.js";
import { Session } from "./session.js";
import { Settings } from "./settings.js";
import { stillOf } from "./stills.js";
import { Timeline } from "./timeline.js";
import { Tokens } from "./tokens.js";
import { View } from "./view.js";
import { seconds } from "./words.js";

const stage = byId("stage");
let model = null;
let session = null; // the one that is seen
let opening = null; // the one that is asked for
let reel = new Reel();
let firstPicture = null; // seconds since the click

const tokens = new Tokens(byId("tokens"), stage);
const player = new Player(byId("canvas"), onMoved, onFirst);
const film = new Film(byId("film"));
const timeline = new Timeline(seek, (held) => (player.held = held));
const settings = new Settings();
const composer = new Composer({ begin, change, vary, refused: (text) => warn(text) });
const collection = new Collection(composer, settings);
const view = new View(stage, showFilm);

// ---- a video from its wish to its end

async function begin() {
  if (opening) return;
  clear();
  const [wish, beginning, prompt] = [{ ...composer.asked, ...settings.wish }, composer.beginning, composer.text];
  opening = new Session({ state: onState, record: onRecord, failed: onFailed }, collection.asked());
  showOpening(true);
  try {
    await admitted(() => opening.open(wish, beginning));
    take(opening, prompt);
    composer.history.add(prompt);
    if (beginning) composer.goOnFrom(null);
  } catch (error) {
    onRefused(error, begin);
  } finally {
    opening = null;
    showOpening(false);
  }
}

/** What was on before has played on until now. */
function take(opened, prompt) {
  if (session) finish(session, reel);
  session = opened;
  collection.keeping.begin(session);
  load(prompt);
  onState(session);
}

function showOpening(on) {
  composer.busy = on;
  if (on) say(composer.beginning ? "Sending the beginning" : "Asking the model", "opening");
  else showStanding();
  if (!session) stage.dataset.view = on ? "waiting" : "empty";
}

function load(prompt) {
  reel = new Reel();
  firstPicture = null;
  film.stop();
  player.load(reel, model.fps, model.width, model.height);
  timeline.load(reel, model.fps);
  tokens.blank(...model.groups[0]);
  stage.dataset.view = "waiting";
  byId("canvas").setAttribute("aria-label", prompt || "A video without a prompt");
}

async function vary(count) {
  if (opening) return;
  clear();
  composer.busy = true;
  try {
    await collection.vary(count);
  } catch (error) {
    showStanding();
    onRefused(error, null);
  } finally {
    composer.busy = false;
  }
}

async function change(prompt) {
  const mine = session;
  clear();
  try {
    await admitted(() => mine.change({ prompt, transition: settings.transition }));
    composer.history.add(prompt);
    if (mine === session) say("The new prompt counts from the next frame on");
  } catch (error) {
    onRefused(error, () => change(prompt));
  }
}

async function playOrPause() {
  if (!session || session.over) return replay();
  const paused = session.state !== "paused";
  player.move(!paused);
  film.pause(paused);
  try {
    await admitted(() => session.change({ paused }));
  } catch (error) {
    player.move(paused);
    warnOf(error);
  }
}

/** What has ended is played again, from where one looks at it or from its beginning. */
function replay() {
  if (!reel.length) return;
  const moving = player.head.moving && player.head.place < reel.last;
  if (player.head.place >= reel.last) seek(reel.first);
  player.move(!moving);
  showPlaying(!moving);
}

function stop() {
  if (session && !session.over) finish(session, reel);
  composer.prompt.focus(); // the button that had the focus can be pressed no more
}

/** Stop it, and keep what there is of it. */
async function finish(ending, pictures) {
  if (ending.over) return;
  const still = stillOf(player.canvas); // the next video is about to be drawn over it
  try {
    await admitted(() => ending.stop());
    await collection.keepWhole(ending, pictures, still);
  } catch (error) {
    warnOf(error);
  }
}

// ---- what comes from the server

function onRecord(record) {
  if (record.kind === "picture") {
    reel.add(record.number, record.jpeg);
    player.arrived();
    tokens.becomePicture(record.number);
  } else if (record.kind === "mask") {
    tokens.show(record);
  } else if (record.kind === "mark") {
    onMark(record.data);
  } else if (record.kind === "figures") {
    Object.assign(session.facts.figures, record.data);
    if (conditionOf(session, reel.length).look !== byId("status").dataset.state) showCondition();
    showPace();
  }
}

function onMark(mark) {
  if (!marked(mark) || mark.picture === reel.marks[0].picture) return;
  say(`New prompt from ${seconds(mark.picture / model.fps)} on`);
}

/** Whether a mark is new; a prompt of which the model reads only the beginning is not passed over in silence. */
function marked({ picture, prompt, cut_short: cutShort }) {
  const fresh = reel.mark(picture, prompt);
  if (fresh && cutShort) warn("The prompt is long: its end is more than the model reads, and changes nothing.");
  return fresh;
}

function onState(changed) {
  if (changed !== session) return;
  for (const mark of changed.facts?.marks ?? []) marked(mark);
  composer.note = changed.facts?.note;
  showCondition();
  showState();
  showFacts();
  if (changed.over) onOver(changed);
}

function onOver(over) {
  film.stop();
  if (!reel.length) stage.dataset.view = "empty";
  if (over.facts && over.ended) collection.keepWhole(over, reel).catch(() => {});
}

function onFailed(failure) {
  warnOf(failure, begin);
}

/** A wish that was not granted, shown where it can be mended. */
function onRefused(error, again) {
  if (!(error instanceof Failure)) throw error;
  warnOf(error, again);
  if (error.param === "prompt") composer.complain();
  else if (error.param) settings.complain(error.param);
}

// ---- what is on screen

function onFirst() {
  firstPicture = (performance.now() - session.began) / 1000;
  stage.dataset.view = "playing";
  onState(session);
  showFilm(view.playback);
}

function onMoved() {
  timeline.show(player.shown, player.head.following);
  film.cover(player.head.following);
  if (session?.over) showPlaying(replaying());
}

function seek(number) {
  if (!reel.length) return;
  timeline.show(player.seek(number), player.head.following);
  film.cover(player.head.following);
}

async function showFilm(playback) {
  film.stop();
  if (playback !== "film" || !session?.facts || session.over) return;
  try {
    await film.play(session.facts);
  } catch (error) {
    film.stop();
    view.playback = "pictures";
    warnOf(error);
  }
}

function showStanding() {
  if (session) showCondition();
  else say("Ready", "idle");
}

/** In the line at the top; its figure stands apart, so that a screen reader does not read out each change of it. */
function showCondition() {
  const { words, look } = conditionOf(session, reel.length);
  say(words, look);
  showPace();
}

function showPace() {
  setText(byId("pace"), session ? conditionOf(session, reel.length).pace : "");
}

function showState() {
  const live = Boolean(session) && !session.over;
  composer.running = live;
  showControls(live, reel.length);
  showPlaying(live ? session.state !== "paused" : replaying());
}

/** What has ended, and is seen once more. */
function replaying() {
  return Boolean(player.head?.moving) && player.shown < reel.last;
}

function showFacts() {
  showFigures(figuresOf(session?.facts, firstPicture, reel, model));
}

/** Do something with the film so far, and say so; what goes wrong is said too. */
async function withFilm(act, done) {
  const mine = session;
  try {
    await admitted(() => act(mine, reel));
    say(done);
  } catch (error) {
    warnOf(error);
  }
}

/** A new video from the picture that is looked at. */
function branch() {
  const picture = reel.at(player.shown ?? reel.last);
  const name = `picture at ${seconds(picture.number / model.fps)}.jpg`;
  composer.goOnFrom({ kind: "image", blob: new Blob([picture.jpeg], { type: "image/jpeg" }), name });
}

// ---- the beginning

async function start() {
  let bounds;
  try {
    [model, bounds] = await admitted(() => Promise.all([firstModel(), limits()]));
    await collection.prepare(model, byId("canvas"), bounds.recent_seconds);
  } catch (error) {
    say("Not connected", "failed");
    return warnOf(error, start);
  }
  byId("model").textContent = model.id;
  view.fit(model.width, model.height);
  settings.load(model, bounds);
  composer.load(model, bounds);
  tokens.blank(...model.groups[0]);
  say("Ready", "idle");
  showFacts();
  composer.prompt.focus();
  offerLogout(leave, warnOf).catch(warnOf);
  showCollection();
}

function showCollection() {
  collection.load(session && !session.over ? session.facts.id : null).catch(warnOf);
}

/** Before a logout: what runs ends, and is kept unless everything shall be forgotten. */
async function leave(forget) {
  if (session && !session.over) await (forget ? session.stop() : finish(session, reel));
  if (forget) await collection.forget();
}

byId("play").addEventListener("click", playOrPause);
byId("stop").addEventListener("click", stop);
byId("keep").addEventListener("click", () => withFilm((mine, pictures) => collection.keeping.keep(mine, pictures), "Kept among your videos"));
byId("download").addEventListener("click", () => withFilm((mine, pictures) => collection.keeping.download(mine, pictures), "Downloaded"));
byId("branch").addEventListener("click", branch);
listenForKeys(stage, { playOrPause, seek, place: () => [player.shown ?? 0, reel] });
addEventListener("pagehide", () => session?.leaveForGood());
addEventListener("pageshow", ({ persisted }) => persisted && showCollection()); // the browser's button Back has led here
addEventListener("beforeunload", (event) => {
  if (session && !session.over) event.preventDefault(); // the browser asks whether the page may be left
});
setInterval(showFacts, 1000);
start();
