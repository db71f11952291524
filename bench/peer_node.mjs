// Speed of llama.cpp as npm's node-llama-cpp ships it: prebuilt for 13 kinds of x86 CPU, the best chosen
// at run time. Prints llama-bench's JSON fields, so that bench/peers.py reads every engine alike.
//
//   node bench/peer_node.mjs MODEL.gguf [-p 512] [-n 128] [-d 0] [-t 2] [-r 3]    -p, -n, -d: several with commas
//   node bench/peer_node.mjs MODEL.gguf --once        load, answer one token, exit
//   node bench/peer_node.mjs MODEL.gguf --idle        only start the interpreter and load the library
//
// The package lies in the folder that the environment variable PEER_NODE_MODULES names. Batches go
// straight to the addon's llama_decode (`_ctx`, internal: the version is pinned in peers.py), as
// the package's own evaluate() would also time its sampler and its bookkeeping.

import process from "node:process";
import {pathToFileURL} from "node:url";
import path from "node:path";

const args = {model: process.argv[2], p: [512], n: [128], d: [0], t: 2, r: 3, once: false, idle: false};
for (let i = 3; i < process.argv.length; i++) {
    const name = process.argv[i].replace(/^-+/, "");
    if (name === "once" || name === "idle") args[name] = true;
    else if (name === "p" || name === "n" || name === "d") args[name] = process.argv[++i].split(",").map(Number);
    else if (name === "t" || name === "r") args[name] = Number(process.argv[++i]);
    else {
        console.error(`peer_node.mjs: unknown argument ${process.argv[i]}`);
        process.exit(2);
    }
}

const entry = path.join(process.env.PEER_NODE_MODULES, "node-llama-cpp", "dist", "index.js");
const {getLlama} = await import(pathToFileURL(entry));
const llama = await getLlama({gpu: false, build: "never", maxThreads: args.t, logLevel: "error"});
if (args.idle) process.exit(0);

const began = performance.now();
const batchSize = 512;
const model = await llama.loadModel({modelPath: args.model});
const sum = (numbers) => numbers.reduce((a, b) => a + b);
const deepest = Math.max(...args.d), longest = deepest ? deepest + sum([...args.p, ...args.n]) : Math.max(...args.p, ...args.n);
const context = await model.createContext({
    contextSize: Math.max(1024, longest + 8), batchSize, sequences: 1, threads: args.t
});
const addon = context._ctx;
addon.setThreads(args.t);
const loadSeconds = (performance.now() - began) / 1000;

let seed = 1;
const randomToken = () => 300 + (seed = (seed * 1103515245 + 12345) % 2147483648) % 30000;

// One call of llama_decode with logits for the last token.
async function decode(tokens, position) {
    addon.initBatch(tokens.length);
    addon.addToBatch(0, position, Uint32Array.from(tokens), Uint32Array.from([tokens.length - 1]));
    await addon.decodeBatch();
}

async function secondsOf(prompt, generated) {
    addon.disposeSequence(0);
    const tokens = Array.from({length: prompt + generated}, randomToken);
    const start = performance.now();
    for (let i = 0; i < prompt; i += batchSize) await decode(tokens.slice(i, Math.min(i + batchSize, prompt)), i);
    for (let i = prompt; i < tokens.length; i++) await decode([tokens[i]], i);
    return (performance.now() - start) / 1000;
}

if (args.once) {
    await secondsOf(16, 1);
    console.log(JSON.stringify([{engine: "llama.cpp", load_s: loadSeconds}]));
    process.exit(0);
}
const results = [];
function add(depth, prompt, generated, samples) {
    results.push({engine: "llama.cpp", model_filename: args.model, n_threads: args.t, n_depth: depth, n_prompt: prompt,
        n_gen: generated, avg_ts: sum(samples) / samples.length, samples_ts: samples});
}
for (const [prompt, generated] of [...args.p.map((p) => [p, 0]), ...args.n.map((n) => [0, n])]) {
    if (prompt + generated === 0 || !args.d.includes(0)) continue;
    await secondsOf(prompt, Math.min(generated, 16)); // warm-up
    const samples = [];
    for (let r = 0; r < args.r; r++) samples.push((prompt + generated) / await secondsOf(prompt, generated));
    add(0, prompt, generated, samples);
}

// One walk through the context, as filling it takes most of the time.
addon.disposeSequence(0);
let position = 0;
async function evaluate(n, atOnce) {
    const start = performance.now();
    for (let i = 0; i < n; i += atOnce) await decode(Array.from({length: Math.min(atOnce, n - i)}, randomToken), position + i);
    position += n;
    return (performance.now() - start) / 1000;
}
for (const depth of args.d.filter(Boolean).sort((a, b) => a - b)) {
    await evaluate(depth - position, batchSize);
    for (const n of args.n.filter(Boolean)) add(depth, 0, n, [n / await evaluate(n, 1)]);
    for (const p of args.p.filter(Boolean)) add(depth, p, 0, [p / await evaluate(p, batchSize)]);
}
console.log(JSON.stringify(results));
process.exit(0);
