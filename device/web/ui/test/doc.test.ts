import assert from "node:assert/strict";
import test from "node:test";
import { at, differences, field, join, merge, put, readNumber, steps } from "../src/doc";
import type { Doc } from "../src/types";

const base: Doc = {
  output: { latency_ms: 500 },
  paths: [
    { name: "1a", interface: "eth1", passphrase: "(set)" },
    { name: "1b", interface: "eth2", passphrase: "(set)" },
  ],
};

test("paths are taken apart and put together", () => {
  for (const p of ["a", "a.b", "paths[2].srt.fc_packets", "x[0][1].y"]) assert.equal(join(steps(p)), p);
  assert.deepEqual(steps("paths[12].url"), ["paths", 12, "url"]);
});

test("put leaves the old document and all that is not on the way", () => {
  const doc = put(base, "paths[1].interface", "eth3") as Doc;
  assert.equal(at(doc, "paths[1].interface"), "eth3");
  assert.equal(at(base, "paths[1].interface"), "eth2");
  assert.equal(at(doc, "output"), at(base, "output"));
  assert.equal(at(put(base, "output.latency_ms", undefined), "output.latency_ms"), undefined);
  assert.equal((at(put(base, "paths[0]", undefined), "paths") as unknown[]).length, 1);
  assert.equal(at(put({}, "input.second.url", "rtp://:5000"), "input.second.url"), "rtp://:5000");
});

test("differences name leaves, and lists of another length as a whole", () => {
  assert.deepEqual(differences(base, put(base, "paths[0].interface", "x")), [{ path: "paths[0].interface", from: "eth1", to: "x" }]);
  assert.equal(differences(base, put(base, "paths[0]", undefined))[0]?.path, "paths");
  assert.deepEqual(differences(base, base), []);
});

test("two admins at different places: both changes stand", () => {
  const m = merge(base, put(base, "paths[1].interface", "eth7") as Doc, put(base, "output.latency_ms", 800) as Doc);
  assert.deepEqual(m.clashes, []);
  assert.equal(at(m.merged, "paths[1].interface"), "eth7");
  assert.equal(at(m.merged, "output.latency_ms"), 800);
});

test("two admins at one place: mine on top, and it is said", () => {
  const m = merge(base, put(base, "output.latency_ms", 700) as Doc, put(base, "output.latency_ms", 800) as Doc);
  assert.deepEqual(m.clashes, ["output.latency_ms"]);
  assert.equal(at(m.merged, "output.latency_ms"), 700);
});

test("the same change by both is none of a conflict", () => {
  const both = put(base, "output.latency_ms", 700) as Doc;
  assert.deepEqual(merge(base, both, both).clashes, []);
});

test("a path is followed by its name when theirs has moved", () => {
  const theirs = put(base, "paths[0]", undefined) as Doc; // 1b is first now
  const m = merge(base, put(base, "paths[1].interface", "eth7") as Doc, theirs);
  assert.equal(at(m.merged, "paths[0].name"), "1b");
  assert.equal(at(m.merged, "paths[0].interface"), "eth7");
  assert.equal((at(m.merged, "paths") as unknown[]).length, 1);
});

test("a path that they removed does not come back", () => {
  const theirs = put(base, "paths[1]", undefined) as Doc;
  const m = merge(base, put(base, "paths[1].interface", "eth7") as Doc, theirs);
  assert.equal((at(m.merged, "paths") as unknown[]).length, 1);
  assert.deepEqual(m.clashes, ["paths[1].interface"]);
});

test("the schema is followed through references", () => {
  const schema = {
    $ref: "#/$defs/Box",
    $defs: {
      Box: { properties: { paths: { type: "array", items: { $ref: "#/$defs/Path" } } } },
      Path: { properties: { leg: { type: "integer", minimum: 1, maximum: 8 } } },
    },
  };
  assert.equal(field(schema, "paths[3].leg")?.maximum, 8);
  assert.equal(field(schema, "paths[3].no"), undefined);
});

test("what is typed as a number", () => {
  for (const [typed, want] of [["", undefined], [" 7 ", 7], ["0.", "0."], ["0.0", 0], ["0,05", 0.05], ["-3", -3], ["1e3", "1e3"], ["x", "x"]] as const) assert.equal(readNumber(typed), want, typed);
});
