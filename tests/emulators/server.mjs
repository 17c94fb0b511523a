// The Firestore emulator of npm, mended where it strays from what Firestore documents.
//
// `node server.mjs [port]` serves gRPC on 127.0.0.1 and says where in its first line.
//
// @firestore-emulator/server 0.3 ignores `update_time` preconditions, applies the writes of a
// commit before the one that fails, leaves a field that its mask alone names, knows masks only
// as quoted as it would itself, counts time in milliseconds, refuses dotted paths in queries and
// orders equal documents by age instead of name. Each is mended below; the rest is its own.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const {
  FirestoreServer,
  FirestoreState,
  FirestoreStateCollection,
  FirestoreStateDocument,
} = require("@firestore-emulator/server");
const grpc = createRequire(require.resolve("@firestore-emulator/server"))("@grpc/grpc-js");

const { FAILED_PRECONDITION, ALREADY_EXISTS, NOT_FOUND } = grpc.status;
const DESCENDING = 2;

// ── Paths ────────────────────────────────────────────────────────────────────

/** "items.`v1.pt-BR`.error" → ["items", "v1.pt-BR", "error"] */
function segments(path) {
  const found = path.matchAll(/`((?:[^`\\]|\\.)*)`|([^.`]+)/g);
  return [...found].map(([, quoted, plain]) => quoted?.replaceAll(/\\(.)/g, "$1") ?? plain);
}

/** As the emulator compares them: quoted where there is a dot. */
function rendered(path) {
  return path.map((name) => (name.includes(".") ? `\`${name}\`` : name)).join(".");
}

function without(fields, [name, ...rest]) {
  if (!(name in fields)) return fields;
  const { [name]: field, ...others } = fields;
  if (rest.length === 0) return others;
  if (field.type !== "map_value") return fields;
  return { ...others, [name]: new field.constructor(without(field.value, rest)) };
}

/** Whether a write gives the field a value. */
function given(fields, [name, ...rest]) {
  const value = fields.get(name);
  if (value === undefined) return false;
  return rest.length === 0 || (value.has_map_value && given(value.map_value.fields, rest));
}

FirestoreStateDocument.prototype.getField = function (path) {
  const [first, ...rest] = segments(path);
  return rest.reduce((field, name) => field?.value?.[name], this.fields[first]);
};

// ── Writes ───────────────────────────────────────────────────────────────────

let now = new Date(0);

/** Later than any write before, so that each has an update time of its own. */
function tick() {
  now = new Date(Math.max(now.getTime() + 1, Date.now()));
}

class Unmet extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

function check(state, write) {
  if (!write.has_current_document) return;
  const { current_document: wanted } = write;
  const name = write.has_delete ? write.delete : write.update.name;
  const { hasExist, updatedAt } = state.getDocument(name).metadata;
  if (wanted.has_exists && wanted.exists && !hasExist) {
    throw new Unmet(NOT_FOUND, `No document to update: ${name}`);
  }
  if (wanted.has_exists && !wanted.exists && hasExist) {
    throw new Unmet(ALREADY_EXISTS, `Document already exists: ${name}`);
  }
  if (wanted.has_update_time) {
    const { seconds, nanos } = wanted.update_time;
    if (!hasExist || updatedAt.getTime() !== seconds * 1000 + nanos / 1e6) {
      const message = "the stored version does not match the required base version";
      throw new Unmet(FAILED_PRECONDITION, `${message}: ${name}`);
    }
  }
}

const write = FirestoreState.prototype.writeV1Document;
FirestoreState.prototype.writeV1Document = function (_, wanted) {
  if (!wanted.has_update || !wanted.has_update_mask) return write.call(this, now, wanted);
  const paths = wanted.update_mask.field_paths.map(segments);
  wanted.update_mask.field_paths = paths.map(rendered);
  const result = write.call(this, now, wanted);
  const document = this.getDocument(wanted.update.name);
  for (const path of paths.filter((path) => !given(wanted.update.fields, path))) {
    document.fields = without(document.fields, path);
  }
  return result;
};

// ── Queries ──────────────────────────────────────────────────────────────────

let descending = false;

const query = FirestoreState.prototype.v1Query;
FirestoreState.prototype.v1Query = function (parent, wanted) {
  descending = wanted.order_by.at(-1)?.direction === DESCENDING;
  return query.call(this, parent, wanted);
};

const all = FirestoreStateCollection.prototype.getAllDocuments;
FirestoreStateCollection.prototype.getAllDocuments = function () {
  const sign = descending ? -1 : 1;
  return all.call(this).sort((a, b) => (a.name < b.name ? -sign : sign));
};

// It copies a collection for each new document; ten thousand would take minutes.
FirestoreStateCollection.prototype.getDocument = function (name) {
  if (Object.isFrozen(this.documents)) this.documents = { ...this.documents };
  this.documents[name] ??= new FirestoreStateDocument(
    this.emitter,
    this.database,
    this,
    name,
    {},
    {},
  );
  return this.documents[name];
};

// ── Serving ──────────────────────────────────────────────────────────────────

const emulator = new FirestoreServer();
const { server, state } = emulator;
server.options["grpc.max_receive_message_length"] = -1;

const commit = server.handlers.get("/google.firestore.v1.Firestore/Commit");
const apply = commit.func;
commit.func = (call, callback) => {
  try {
    for (const write of call.request.writes) check(state, write);
  } catch (error) {
    if (!(error instanceof Unmet)) throw error;
    callback({ code: error.code, message: error.message }, null);
    return;
  }
  tick();
  apply(call, callback);
};

const asked = Number(process.argv[2] ?? 0);
server.bindAsync(`127.0.0.1:${asked}`, grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) {
    console.error(error.message);
    process.exit(1);
  }
  console.log(`127.0.0.1:${port}`);
});

// Whoever started it holds its standard input, and takes it along.
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
