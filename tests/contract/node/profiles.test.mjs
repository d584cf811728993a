// The official Node client, unchanged, against a running Kith. KITH_TEST_BASE_URL says where.
import assert from "node:assert/strict";
import { randomInt, randomUUID } from "node:crypto";
import { before, test } from "node:test";
import twilio from "twilio";

const base = process.env.KITH_TEST_BASE_URL;
assert.ok(base, "KITH_TEST_BASE_URL is not set");
const STORE = "mem_store_00000000000000000000000000";
const ACCOUNT = "AC00000000000000000000000000000000";

function connect(token = "development") {
  const client = twilio(ACCOUNT, token);
  client.memory.baseUrl = base;
  return client;
}
const client = connect();
const memory = client.memory.v1;

const unique = () => randomUUID().replaceAll("-", "");
const email = () => `node.${unique()}@example.com`;
const phone = () => `+1317${String(randomInt(10_000_000)).padStart(7, "0")}`;

async function create(contact) {
  const profile = await memory.profiles(STORE).create({ traits: { Contact: contact } });
  return profile.id;
}

async function eventually(what, ask, within = 5_000) {
  const end = Date.now() + within;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    assert.ok(Date.now() < end, `${what}: not in time`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

// A consumer that has just been started joins its group first: what is measured below is the way of a trait.
before(async () => {
  const id = await create({ email: email(), firstName: "first" });
  await eventually(
    "the first trait of all",
    async () => (await memory.profiles(STORE, id).fetch()).traits?.Contact?.firstName,
    60_000,
  );
});

// The sample of the documentation, as it stands there but for the base URL.
test("the sample creates a profile, and its nine traits are there within a second", async () => {
  const contact = {
    email: "Alyssa.Mock@example.com",
    phone: "+13175551234",
    lastName: "Mock",
    firstName: "Alyssa",
    street: "123 Main St",
    city: "San Francisco",
    state: "CA",
    postalCode: "94107",
    country: "US",
  };
  const profile = await memory.profiles(STORE).create({ traits: { Contact: contact } });
  assert.match(profile.id, /^mem_profile_[0-7][0-9a-z]{25}$/);
  const accepted = Date.now();
  const read = await eventually("nine traits", async () => {
    const read = await memory.profiles(STORE, profile.id).fetch();
    return Object.keys(read.traits?.Contact ?? {}).length === 9 ? read : undefined;
  });
  assert.ok(Date.now() - accepted < 1_000, `${Date.now() - accepted} ms`);
  assert.deepEqual(read.traits, { Contact: contact });
  assert.equal(read.id, profile.id);
  assert.ok(read.createdAt instanceof Date && Math.abs(Date.now() - read.createdAt) < 600_000);
});

test("a repeated create finds the same profile", async () => {
  const contact = { email: email(), firstName: "Ada" };
  assert.equal(await create(contact), await create(contact));
});

test("lookup normalises, finds, and answers a miss with an empty list", async () => {
  const address = email();
  const id = await create({ email: address });
  const found = await memory.lookup(STORE).create({ idType: "email", value: ` ${address.toUpperCase()}` });
  assert.equal(found.normalizedValue, address);
  assert.deepEqual(found.profiles, [id]);
  const missed = await memory.lookup(STORE).create({ idType: "email", value: email() });
  assert.deepEqual(missed.profiles, []);
});

test("identifiers are listed by type", async () => {
  const [address, number] = [email(), phone()];
  const id = await create({ email: address, phone: number });
  const sets = await memory.identifiers(STORE, id).list();
  const byType = Object.fromEntries(sets.map((set) => [set.idType, set.values]));
  assert.deepEqual(byType, { email: [address], phone: [number] });
});

test("each pages over every profile, newest first", async () => {
  const ids = [];
  for (let i = 0; i < 7; i++) {
    ids.push(await create({ email: email() }));
    await new Promise((done) => setTimeout(done, 3));
  }
  const seen = [];
  await new Promise((done, fail) =>
    memory.profiles(STORE).each({
      pageSize: 3,
      limit: 10_000,
      callback: (profile) => seen.push(profile.profiles ?? profile.id ?? profile),
      done: (error) => (error ? fail(error) : done()),
    }),
  );
  const text = JSON.stringify(seen);
  const places = ids.map((id) => text.indexOf(id));
  assert.ok(places.every((place) => place >= 0), "each of ours is there");
  assert.deepEqual([...places].sort((a, b) => b - a), places, "newest first");
});

test("a merged profile is answered with a redirect, which this client does not follow", async () => {
  const [address, number] = [email(), phone()];
  const first = await create({ email: address });
  await new Promise((done) => setTimeout(done, 3));
  const second = await create({ phone: number });
  assert.equal(await create({ email: address, phone: number }), first);
  const moved = await memory.profiles(STORE, second).fetch();
  assert.equal(moved.id, undefined);
});

test("errors carry the contract's code, message and status", async () => {
  await assert.rejects(memory.profiles(STORE).create({ traits: { Contact: { firstName: "Ada" } } }), (error) => {
    assert.equal(error.status, 400);
    assert.equal(error.code, 400);
    assert.ok(error.message.length > 0 && error.moreInfo?.length > 0);
    return true;
  });
  await assert.rejects(memory.profiles(STORE).create({ traits: { Contact: { email: 42 } } }), (error) => {
    assert.equal(error.status, 400);
    assert.equal(error.details.errors[0].field, "traits.Contact.email");
    return true;
  });
  const unknown = "mem_profile_01h455vb4pex5vsknk084sn02q";
  await assert.rejects(memory.profiles(STORE, unknown).fetch(), { status: 404, code: 20404 });
  const nobody = "mem_store_01h455vb4pex5vsknk084sn02q";
  await assert.rejects(memory.profiles(nobody).create({ traits: {} }), { status: 404, code: 520041 });
  const stranger = connect("wrong").memory.v1;
  await assert.rejects(stranger.profiles(STORE).create({ traits: {} }), { status: 401, code: 20003 });
});

test("a profile is patched, a null removes, and the traits are listed one by one", async () => {
  const address = email();
  const id = await create({ email: address, firstName: "Ada", lastName: "Byron" });
  const patched = await memory.profiles(STORE, id).patch({
    traits: { Contact: { lastName: "Lovelace", firstName: null } },
  });
  assert.equal(patched.message, "Trait modifications accepted for processing.");
  await eventually("the patch", async () => {
    const read = await memory.profiles(STORE, id).fetch();
    const { lastName, firstName } = read.traits.Contact;
    return lastName === "Lovelace" && firstName === undefined ? read : undefined;
  });
  const traits = await memory.traits(STORE, id).list();
  assert.deepEqual(traits.map((one) => [one.name, one.value, one.traitGroup]).sort(), [
    ["email", address, "Contact"],
    ["lastName", "Lovelace", "Contact"],
  ]);
  for (const { timestamp } of traits) {
    assert.ok(Math.abs(Date.now() - new Date(timestamp)) < 600_000, timestamp);
  }
});

test("traits are paged with each", async () => {
  const id = await create({ email: email(), phone: phone(), whatsapp: unique(), chatId: unique() });
  const seen = await new Promise((resolve, reject) => {
    const names = [];
    memory.traits(STORE, id).each({
      pageSize: 2,
      callback: (one) => names.push(one.name),
      done: (error) => (error ? reject(error) : resolve(names)),
    });
  });
  assert.deepEqual(seen.sort(), ["chatId", "email", "phone", "whatsapp"]);
});

test("identifiers are added, fetched, changed and removed", async () => {
  const [old, next] = [phone(), phone()];
  const id = await create({ email: email() });
  const added = await memory.identifiers(STORE, id).create({ idType: "phone", value: old });
  assert.equal(added.message, "Identifier accepted for processing.");
  const phones = memory.identifiers(STORE, id, "phone");
  const fetched = await phones.fetch();
  assert.deepEqual([fetched.idType, fetched.values], ["phone", [old]]);
  const change = { idType: "phone", oldValue: old, newValue: next };
  const changed = await phones.patch(change);
  assert.equal(changed.message, "Identifier update accepted.");
  assert.deepEqual((await phones.fetch()).values, [next]);
  await assert.rejects(phones.patch(change), { status: 404, code: 20404 });
  await assert.rejects(phones.patch({ ...change, oldValue: next, newValue: next }), {
    status: 409,
    code: 20409,
  });
  // The client takes a removal for a fetch, and gives what was answered.
  assert.equal((await phones.remove()).message, "Identifier removal accepted.");
  await assert.rejects(phones.fetch(), { status: 404, code: 20404 });
});

test("a deleted profile is gone, and its address is a new person's", async () => {
  const address = email();
  const id = await create({ email: address });
  const removed = await memory.profiles(STORE, id).remove();
  assert.equal(removed.message, "Profile accepted for deletion.");
  await assert.rejects(memory.profiles(STORE, id).fetch(), { status: 404, code: 20404 });
  assert.notEqual(await create({ email: address }), id);
});
