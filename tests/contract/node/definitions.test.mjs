// The control plane and bulk through the official Node client, unchanged. KITH_TEST_BASE_URL says where.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import twilio from "twilio";

const base = process.env.KITH_TEST_BASE_URL;
assert.ok(base, "KITH_TEST_BASE_URL is not set");
const client = twilio("AC00000000000000000000000000000000", "development");
client.memory.baseUrl = base;
const memory = client.memory.v1;

const unique = () => randomUUID().replaceAll("-", "");
const email = () => `node.${unique()}@example.com`;

// A write's answer, whose operation must be complete; what it was about.
async function completed({ statusCode, headers, body }, resource) {
  assert.equal(statusCode, 202);
  assert.ok(body.message.length > 0);
  assert.equal(headers.location, body.statusUrl);
  assert.equal(headers["retry-after"], "1");
  const id = headers["operation-id"];
  assert.equal(body.statusUrl, `${base}/v1/ControlPlane/Operations/${id}`);
  const operation = await memory.operations(id).fetch();
  assert.equal(operation.operationId, id);
  assert.equal(operation.status, "COMPLETED");
  assert.equal(operation.statusUrl, body.statusUrl);
  assert.equal(operation.result.type, "RESOURCE_ID");
  assert.equal(operation.error, null);
  assert.ok(Math.abs(Date.now() - operation.createdAt) < 600_000);
  assert.ok(operation.completedAt >= operation.createdAt);
  if (resource !== undefined) {
    assert.equal(operation.resultUrl, `${base}/v1/ControlPlane/Stores/${resource}`);
  }
  return operation.result.id;
}

const created = [];
async function createStore(name, description) {
  const serviceRequest = { displayName: name, description };
  const id = await completed(await memory.stores.createWithHttpInfo(serviceRequest));
  created.push(id);
  return id;
}

// Every item of a list, by `each`, and how many pages that took is the server's to say: pageSize is one.
const each = (list, options = {}) =>
  new Promise((done, fail) => {
    const seen = [];
    list.each({
      pageSize: 1,
      ...options,
      callback: (one) => seen.push(one),
      done: (error) => (error ? fail(error) : done(seen)),
    });
  });

let store;
before(async () => {
  store = await createStore(`node-${unique()}`, "of the client's tests");
});

after(async () => {
  for (const id of created) {
    await memory.stores(id).remove().catch((error) => assert.equal(error.code, 520041));
  }
});

test("a store is created, fetched, patched and removed", async () => {
  const name = `node-${unique()}`;
  const id = await createStore(name, "A shop");
  assert.match(id, /^mem_store_[0-7][0-9a-z]{25}$/);
  const fetched = await memory.stores(id).fetchWithHttpInfo();
  const { displayName, description, status, intelligenceServiceId, version } = fetched.body;
  assert.deepEqual(
    { id: fetched.body.id, displayName, description, status, intelligenceServiceId, version },
    { id, displayName: name, description: "A shop", status: "ACTIVE", intelligenceServiceId: null, version: 1 },
  );
  const tag = { "If-Match": fetched.headers.etag };
  const patched = await memory.stores(id).patchWithHttpInfo({ description: "Another" }, { ...tag });
  assert.equal(await completed(patched, id), id);
  await assert.rejects(memory.stores(id).patch({ description: "Third" }, { ...tag }), {
    status: 412,
    code: 520043,
  });
  const now = await memory.stores(id).fetch();
  assert.deepEqual([now.displayName, now.description, now.version], [name, "Another", 2]);

  const taken = memory.stores.create({ displayName: name });
  await assert.rejects(taken, { status: 400, code: 520045 });
  await assert.rejects(memory.stores.create({ displayName: "a b" }), (error) => {
    assert.deepEqual([error.status, error.code], [400, 520046]);
    assert.equal(error.details.errors[0].field, "displayName");
    return true;
  });

  // The client takes a removal for a fetch, and gives what was answered.
  const removed = await memory.stores(id).removeWithHttpInfo();
  assert.equal(removed.statusCode, 202);
  const operation = await memory.operations(removed.headers["operation-id"]).fetch();
  assert.equal(operation.status, "RUNNING");
  assert.equal(operation.result, null);
  await assert.rejects(memory.stores(id).fetch(), { status: 404, code: 520041 });
});

test("stores are paged with each, newest first, or oldest first", async () => {
  const ids = [];
  for (let i = 0; i < 3; i++) ids.push(await createStore(`node-${unique()}`));
  const ours = (seen) => seen.filter((id) => ids.includes(id));
  assert.deepEqual(ours(await each(memory.stores)), ids.toReversed());
  assert.deepEqual(ours(await each(memory.stores, { orderBy: "ASC" })), ids);
});

test("trait groups are created, listed, fetched, patched and removed", async () => {
  const traits = {
    householdId: {
      dataType: "STRING",
      description: "who lives there",
      validationRule: { ruleType: "STRING", pattern: "^h", minLength: 2, maxLength: 9 },
    },
    mail: { dataType: "STRING", idTypePromotion: "email" },
    rooms: { dataType: "NUMBER", validationRule: { ruleType: "NUMBER", min: 1, max: 9 } },
  };
  const groups = memory.traitGroups(store);
  const home = { displayName: "Home", description: "At home", traits };
  const path = `${store}/TraitGroups/Home`;
  assert.equal(await completed(await groups.createWithHttpInfo(home), path), "Home");
  assert.equal(await completed(await groups.createWithHttpInfo({ displayName: "Work" })), "Work");
  await assert.rejects(groups.create(home), { status: 400, code: 520055 });

  const read = await memory.traitGroups(store, "Home").fetch();
  assert.deepEqual(JSON.parse(JSON.stringify(read.traitGroup)), { ...home, version: 1 });
  const bare = await memory.traitGroups(store, "Home").fetch({ includeTraits: false });
  assert.equal(bare.traitGroup.traits, undefined);
  const paged = await memory.traitGroups(store, "Contact").fetch({ pageSize: 5 });
  assert.equal(Object.keys(paged.traitGroup.traits).length, 5);
  assert.deepEqual([paged.meta.key, paged.meta.pageSize], ["traits", 5]);
  assert.ok(paged.meta.nextToken.length > 0);

  const listed = await each(groups, { orderBy: "ASC", includeTraits: true });
  assert.deepEqual(listed.map((one) => one.displayName), ["Contact", "Home", "Work"]);
  assert.deepEqual(Object.keys(listed[1].traits).sort(), ["householdId", "mail", "rooms"]);
  const newest = await groups.list({ pageSize: 2 });
  assert.deepEqual(newest.map((one) => one.displayName), ["Work", "Home", "Contact"]);
  assert.ok(newest.every((one) => one.traits === undefined && one.version === 1));

  const tag = (await memory.traitGroups(store, "Home").fetchWithHttpInfo()).headers.etag;
  const change = { traits: { rooms: { dataType: "" }, floor: { dataType: "NUMBER" } } };
  const one = memory.traitGroups(store, "Home");
  const patched = await one.patchWithHttpInfo(change, { "If-Match": tag });
  assert.equal(await completed(patched, path), "Home");
  await assert.rejects(one.patch(change, { "If-Match": tag }), { status: 412, code: 520043 });
  const after = (await one.fetch()).traitGroup;
  assert.deepEqual(Object.keys(after.traits).sort(), ["floor", "householdId", "mail"]);
  assert.equal(after.version, 2);

  // The new definitions are in force.
  const address = email();
  const profile = await memory.profiles(store).create({ traits: { Home: { mail: address, floor: 3 } } });
  const found = await memory.lookup(store).create({ idType: "email", value: address });
  assert.deepEqual(found.profiles, [profile.id]);

  assert.equal(await completed(await memory.traitGroups(store, "Work").removeWithHttpInfo()), "Work");
  await assert.rejects(memory.traitGroups(store, "Work").fetch(), { status: 404, code: 520047 });
  const contact = memory.traitGroups(store, "Contact");
  await assert.rejects(
    contact.patch({ traits: { email: { dataType: "" } } }),
    { status: 400, code: 520050 },
  );
  await assert.rejects(contact.remove(), { status: 409, code: 520050 });
});

test("settings are fetched and replaced", async () => {
  const id = await createStore(`node-${unique()}`);
  const settings = memory.identityResolutionSettings(id);
  const read = await settings.fetchWithHttpInfo();
  assert.equal(read.body.version, 1);
  assert.deepEqual(read.body.matchingRules, ["email", "whatsapp", "phone", "chat"]);
  assert.deepEqual(JSON.parse(JSON.stringify(read.body.identifierConfigs[2])), {
    idType: "phone",
    matchingAlgo: "exact",
    matchingThreshold: 75,
    limit: 100,
    limitPolicy: "fifo",
    enforceUnique: true,
    normalization: "phone",
  });
  const replaced = {
    identifierConfigs: [{ idType: "crm-id", normalization: "none", limit: 2, limitPolicy: "lifo" }, { idType: "email" }],
    matchingRules: ["crm-id", "email"],
  };
  const tag = { "If-Match": read.headers.etag };
  const update = await settings.updateWithHttpInfo(replaced, { ...tag });
  assert.equal(await completed(update, `${id}/IdentityResolutionSettings`), id);
  await assert.rejects(settings.update(replaced, { ...tag }), { status: 412, code: 520043 });
  const now = await settings.fetch();
  assert.equal(now.version, 2);
  assert.deepEqual(now.matchingRules, ["crm-id", "email"]);
  assert.deepEqual(
    now.identifierConfigs.map((one) => [one.idType, one.limit, one.limitPolicy, one.normalization]),
    [
      ["crm-id", 2, "lifo", "none"],
      ["email", 100, "fifo", "email"],
    ],
  );
  const wrong = { ...replaced, matchingRules: ["phone"] };
  await assert.rejects(settings.update(wrong), (error) => {
    assert.deepEqual([error.status, error.code], [400, 520046]);
    assert.equal(error.details.errors[0].field, "matchingRules[0]");
    return true;
  });
});

test("operations that are not there are told apart", async () => {
  const unknown = memory.operations("mem_operation_01h455vb4pex5vsknk084sn02q");
  await assert.rejects(unknown.fetch(), { status: 404, code: 520052 });
  await assert.rejects(memory.operations(store).fetch(), { status: 400, code: 520051 });
});

test("a batch makes one profile of items that share an identifier", async () => {
  const [address, chat, other] = [email(), unique(), unique()];
  const item = (contact) => ({ traits: { Contact: contact } });
  const answer = await memory.bulk(store).update({
    profiles: [item({ email: address }), item({ chatId: other }), item({ email: address, chatId: chat })],
  });
  assert.equal(answer.message, "Profile batch accepted for processing.");
  const owners = async (idType, value) => (await memory.lookup(store).create({ idType, value })).profiles;
  const [one] = await owners("email", address);
  assert.ok(one);
  assert.deepEqual(await owners("chat", chat), [one]);
  const [another] = await owners("chat", other);
  assert.ok(another && another !== one);
  const wrong = memory.bulk(store).update({ profiles: [item({ email: address }), item({ firstName: "Ada" })] });
  await assert.rejects(wrong, (error) => {
    assert.deepEqual([error.status, error.code], [400, 400]);
    assert.equal(error.details.errors[0].field, "profiles[1].traits");
    return true;
  });
});
