// The packaged classifier in a browser: onnxruntime-web and encode.mjs, no server.

import * as ort from "./ort/ort.wasm.min.mjs";
import { Encoder, unpackTable } from "./encode.mjs";

const status = document.getElementById("status");
const answer = document.getElementById("answer");

async function inflated(name) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  return new Response(response.body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function load() {
  ort.env.wasm.numThreads = 1; // threads need headers that few static servers send
  ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
  const [about, wasm, packed, pieces, model] = await Promise.all([
    fetch("model.json").then((response) => response.json()),
    inflated("ort/ort-wasm-simd-threaded.wasm.gz.bin"),
    inflated("ratios.gz.bin"),
    inflated("pieces.gz.bin").then((bytes) => JSON.parse(new TextDecoder().decode(bytes))),
    fetch("model.onnx").then((response) => response.arrayBuffer()),
  ]);
  ort.env.wasm.wasmBinary = wasm;
  const area = document.createElement("textarea");
  const unescape = (entity) => {
    area.innerHTML = entity;
    return area.value;
  };
  const encoder = new Encoder(about, pieces, unpackTable(packed, about.table_size), unescape);
  const session = await ort.InferenceSession.create(model);
  return { about, encoder, session };
}

async function classify({ about, encoder, session }, text) {
  const { ids, features } = encoder.encode(text);
  const inputs = {
    token_ids: new ort.Tensor("int32", Int32Array.from(ids), [1, ids.length]),
    lengths: new ort.Tensor("int32", Int32Array.of(ids.length), [1]),
  };
  if (about.ngram_order) {
    const shape = [1, ids.length, features.length / ids.length];
    inputs.token_features = new ort.Tensor("float32", Float32Array.from(features), shape);
  }
  const { logits } = await session.run(inputs);
  const scaled = Array.from(logits.data, (logit) => logit / about.temperature);
  const largest = Math.max(...scaled);
  const powers = scaled.map((value) => Math.exp(value - largest));
  const total = powers.reduce((sum, power) => sum + power);
  return powers.map((power) => power / total);
}

function show(labels, probabilities, milliseconds) {
  answer.replaceChildren();
  const order = [...labels.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
  for (const k of order) {
    const row = answer.appendChild(document.createElement("div"));
    row.className = "row";
    row.appendChild(document.createElement("b")).textContent = labels[k];
    const track = row.appendChild(document.createElement("div"));
    track.className = "track";
    const bar = track.appendChild(document.createElement("div"));
    bar.className = "bar";
    bar.style.width = `${100 * probabilities[k]}%`;
    const share = `${(100 * probabilities[k]).toFixed(1)}%`;
    row.appendChild(document.createElement("span")).textContent = share;
  }
  status.textContent = `${milliseconds.toFixed(0)} ms, in this page`;
}

const started = performance.now();
load().then(
  (model) => {
    window.classify = (text) => classify(model, text);
    status.textContent = `ready after ${((performance.now() - started) / 1000).toFixed(1)} s`;
    document.querySelector("button").disabled = false;
    document.querySelector("form").addEventListener("submit", async (event) => {
      event.preventDefault();
      const begin = performance.now();
      const probabilities = await classify(model, document.getElementById("text").value);
      show(model.about.labels, probabilities, performance.now() - begin);
    });
  },
  (error) => {
    status.textContent = `cannot start: ${error.message}`;
  },
);
