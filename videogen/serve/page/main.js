// The studio: connects the parts of the page, which do not import each other. Begin reading here.

import { ApiError, firstModel, limits } from "./api.js";
import { Collection } from "./collection.js";
import { Composer } from "./composer.js";
import { statusOf, updateControls, updatePlayButton } from "./controls.js";
import { byId, setText } from "./dom.js";
import { seconds } from "./format.js";
import { FrameBuffer } from "./frame_buffer.js";
import { LiveVideo } from "./live_video.js";
import { withLogin } from "./login.js";
import { setUpLogout } from "./logout.js";
import { clearNotice, setStatus, showError, showNotice } from "./notices.js";
import { Player } from "./player.js";
import { Session } from "./session.js";
import { Settings } from "./settings.js";
import { listenForShortcuts } from "./shortcuts.js";
import { showStats, statsOf } from "./stats.js";
import { thumbnailOf } from "./thumbnails.js";
import { Timeline } from "./timeline.js";
import { TokenGrid } from "./token_grid.js";
import { ViewOptions } from "./view_options.js";

const stage = byId("stage");
let model = null;
let session = null; // the one on screen
let opening = null; // the one that has been requested
let buffer = new FrameBuffer();
let firstFrameDelay = null; // seconds since the click

const tokens = new TokenGrid(byId("tokens"), stage);
const player = new Player(byId("canvas"), onFrameShown, onFirstFrame);
const liveVideo = new LiveVideo(byId("live-video"));
const timeline = new Timeline(seek, (dragging) => (player.frozen = dragging));
const settings = new Settings();
const composer = new Composer({ generate, changePrompt, makeVariations, refused: (text) => showNotice(text) });
const collection = new Collection(composer, settings);
const view = new ViewOptions(stage, showLiveVideo);

// ---- a video from its request to its end

async function generate() {
  if (opening) return;
  clearNotice();
  const [params, source, prompt] = [{ ...composer.promptFields, ...settings.overrides }, composer.source, composer.text];
  opening = new Session({ state: onState, record: onRecord, failed: onFailed }, collection.currentRequest());
  showOpening(true);
  try {
    await withLogin(() => opening.open(params, source));
    replaceSession(opening, prompt);
    composer.history.add(prompt);
    if (source) composer.setSource(null);
  } catch (error) {
    onRefused(error, generate);
  } finally {
    opening = null;
    showOpening(false);
  }
}

/** Rows and columns of the last group of tokens, which masks show; a line of tokens is one row. */
function gridOf({ groups }) {
  const shape = groups.at(-1);
  return shape.length === 2 ? shape : [1, shape[0]];
}

/** The previous video plays until the new one has been accepted. */
function replaceSession(opened, prompt) {
  if (session) finish(session, buffer);
  session = opened;
  collection.saver.begin(session);
  load(prompt);
  onState(session);
}

function showOpening(on) {
  composer.busy = on;
  if (on) setStatus(composer.source ? "Uploading" : "Sending the request", "opening");
  else showIdleOrStatus();
  if (!session) stage.dataset.view = on ? "waiting" : "empty";
}

function load(prompt) {
  buffer = new FrameBuffer();
  firstFrameDelay = null;
  liveVideo.stop();
  player.load(buffer, model.fps, model.width, model.height);
  timeline.load(buffer, model.fps);
  tokens.blank(...gridOf(model));
  stage.dataset.view = "waiting";
  byId("canvas").setAttribute("aria-label", prompt || "A video without a prompt");
}

async function makeVariations(count) {
  if (opening) return;
  clearNotice();
  composer.busy = true;
  try {
    await collection.makeVariations(count);
  } catch (error) {
    showIdleOrStatus();
    onRefused(error, null);
  } finally {
    composer.busy = false;
  }
}

async function changePrompt(prompt) {
  const changed = session;
  clearNotice();
  try {
    await withLogin(() => changed.change({ prompt, transition: settings.transition }));
    composer.history.add(prompt);
    if (changed === session) setStatus("The new prompt applies from the next frame");
  } catch (error) {
    onRefused(error, () => changePrompt(prompt));
  }
}

async function playOrPause() {
  if (!session || session.over) return replay();
  const paused = session.state !== "paused";
  player.move(!paused);
  liveVideo.pause(paused);
  try {
    await withLogin(() => session.change({ paused }));
  } catch (error) {
    player.move(paused);
    showError(error);
  }
}

/** Replay a finished video from the current position, or from its start. */
function replay() {
  if (!buffer.length) return;
  const moving = player.head.moving && player.head.position < buffer.last;
  if (player.head.position >= buffer.last) seek(buffer.first);
  player.move(!moving);
  updatePlayButton(!moving);
}

function stop() {
  if (session && !session.over) finish(session, buffer);
  composer.prompt.focus(); // the Stop button is now disabled and cannot keep the focus
}

/** Stop a stream and save what it has generated. */
async function finish(ending, frames) {
  if (ending.over) return;
  const thumbnail = thumbnailOf(player.canvas); // before the next video is drawn over it
  try {
    await withLogin(() => ending.stop());
    await collection.saveFinished(ending, frames, thumbnail);
  } catch (error) {
    showError(error);
  }
}

// ---- records from the server

function onRecord(record) {
  if (record.kind === "frame") {
    buffer.add(record.number, record.jpeg);
    player.frameArrived();
    tokens.markDecoded(record.number);
  } else if (record.kind === "mask") {
    tokens.show(record);
  } else if (record.kind === "mark") {
    onMark(record.data);
  } else if (record.kind === "stats") {
    Object.assign(session.info.stats, record.data);
    if (statusOf(session, buffer.length).state !== byId("status").dataset.state) showStatus();
    showPace();
  }
}

function onMark(mark) {
  if (!addMark(mark) || mark.frame === buffer.marks[0].frame) return;
  setStatus(`New prompt at ${seconds(mark.frame / model.fps)}`);
}

/** Whether a mark is new; warns if the model truncates the prompt. */
function addMark({ frame, prompt, truncated }) {
  const added = buffer.mark(frame, prompt);
  if (added && truncated) showNotice("The prompt is too long: the model ignores the end of it.");
  return added;
}

function onState(changed) {
  if (changed !== session) return;
  for (const mark of changed.info?.marks ?? []) addMark(mark);
  composer.note = changed.info?.note;
  showStatus();
  showButtons();
  updateStats();
  if (changed.over) onOver(changed);
}

function onOver(over) {
  liveVideo.stop();
  if (!buffer.length) stage.dataset.view = "empty";
  if (over.info && over.endedOnServer) collection.saveFinished(over, buffer).catch(() => {});
}

function onFailed(failure) {
  showError(failure, generate);
}

/** Show a refused request at the field that caused it. */
function onRefused(error, retry) {
  if (!(error instanceof ApiError)) throw error;
  showError(error, retry);
  if (error.param === "prompt") composer.markInvalid();
  else if (error.param) settings.markInvalid(error.param);
}

// ---- what is on screen

function onFirstFrame() {
  firstFrameDelay = (performance.now() - session.began) / 1000;
  stage.dataset.view = "playing";
  onState(session);
  showLiveVideo(view.playback);
}

function onFrameShown() {
  timeline.show(player.shown, player.head.following);
  liveVideo.cover(player.head.following);
  if (session?.over) updatePlayButton(isReplaying());
}

function seek(number) {
  if (!buffer.length) return;
  timeline.show(player.seek(number), player.head.following);
  liveVideo.cover(player.head.following);
}

async function showLiveVideo(playback) {
  liveVideo.stop();
  if (playback !== "video" || !session?.info || session.over) return;
  try {
    await liveVideo.play(session.info);
  } catch (error) {
    liveVideo.stop();
    view.playback = "frames";
    showError(error);
  }
}

function showIdleOrStatus() {
  if (session) showStatus();
  else setStatus("Ready", "idle");
}

/** The pace is a separate element, so that screen readers do not announce each new number. */
function showStatus() {
  const { text, state } = statusOf(session, buffer.length);
  setStatus(text, state);
  showPace();
}

function showPace() {
  setText(byId("pace"), session ? statusOf(session, buffer.length).pace : "");
}

function showButtons() {
  const live = Boolean(session) && !session.over;
  composer.running = live;
  updateControls(live, buffer.length);
  updatePlayButton(live ? session.state !== "paused" : isReplaying());
}

function isReplaying() {
  return Boolean(player.head?.moving) && player.shown < buffer.last;
}

function updateStats() {
  showStats(statsOf(session?.info, firstFrameDelay, buffer, model));
}

/** Do something with the video so far, then show `done` or the error. */
async function withCurrentVideo(act, done) {
  const current = session;
  try {
    await withLogin(() => act(current, buffer));
    setStatus(done);
  } catch (error) {
    showError(error);
  }
}

/** Use the frame on screen as the start of a new video. */
function branch() {
  const frame = buffer.at(player.shown ?? buffer.last);
  const name = `frame at ${seconds(frame.number / model.fps)}.jpg`;
  composer.setSource({ kind: "image", blob: new Blob([frame.jpeg], { type: "image/jpeg" }), name });
}

// ---- start and end of the page

async function start() {
  let bounds;
  try {
    [model, bounds] = await withLogin(() => Promise.all([firstModel(), limits()]));
    await collection.prepare(model, byId("canvas"), bounds.recent_seconds);
  } catch (error) {
    setStatus("Not connected", "failed");
    return showError(error, start);
  }
  byId("model").textContent = model.id;
  view.fit(model.width, model.height);
  settings.load(model, bounds);
  composer.load(model, bounds);
  tokens.blank(...gridOf(model));
  setStatus("Ready", "idle");
  updateStats();
  composer.prompt.focus();
  setUpLogout(leave, showError).catch(showError);
  loadCollection();
}

function loadCollection() {
  collection.load(session && !session.over ? session.info.id : null).catch(showError);
}

/** Before a logout: stop the running stream, and save it unless the browser's data are to be removed. */
async function leave(removeData) {
  if (session && !session.over) await (removeData ? session.stop() : finish(session, buffer));
  if (removeData) await collection.clear();
}

byId("play").addEventListener("click", playOrPause);
byId("stop").addEventListener("click", stop);
byId("save").addEventListener("click", () => withCurrentVideo((current, frames) => collection.saver.save(current, frames), "Saved to your videos"));
byId("download").addEventListener("click", () => withCurrentVideo((current, frames) => collection.saver.download(current, frames), "Downloaded"));
byId("branch").addEventListener("click", branch);
listenForShortcuts(stage, { playOrPause, seek, position: () => [player.shown ?? 0, buffer] });
addEventListener("pagehide", () => session?.leaveForGood());
addEventListener("pageshow", ({ persisted }) => persisted && loadCollection()); // restored by the Back button
addEventListener("beforeunload", (event) => {
  if (session && !session.over) event.preventDefault(); // the browser asks for confirmation
});
setInterval(updateStats, 1000);
start();
