// Copies a store from one Conversation Memory service to another: settings, trait groups, profiles, identifiers. See
// migration.md. Prints `old id,new id` for every profile; what it does beside goes to standard error. It may be run again.
const twilio = require("twilio"); // npm install twilio@6.2.0

const needed = (name) => {
  if (!process.env[name]) throw new Error(`${name} is not set`);
  return process.env[name];
};

function memory(side) {
  const client = twilio(needed(`${side}_ACCOUNT`), needed(`${side}_TOKEN`));
  if (process.env[`${side}_URL`]) client.memory.baseUrl = process.env[`${side}_URL`];
  return client.memory.v1;
}

const from = memory("FROM");
const to = memory("TO");
const source = needed("FROM_STORE");
const target = needed("TO_STORE");
const AT_ONCE = 8;
const BATCH = 1000;

const say = (text) => process.stderr.write(`${text}\n`);
const plain = (value) => JSON.parse(JSON.stringify(value));

const each = (list, options) =>
  new Promise((done, fail) => {
    const seen = [];
    list.each({ ...options, callback: (one) => seen.push(one), done: (error) => (error ? fail(error) : done(seen)) });
  });

// Tried again while the service says that it is busy.
async function patient(work) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      if (![429, 502, 503, 504].includes(error.status) || tries === 8) throw error;
      await new Promise((done) => setTimeout(done, 250 * 2 ** tries));
    }
  }
}

async function inParallel(items, work) {
  const results = new Array(items.length);
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const at = next;
      next += 1;
      results[at] = await work(items[at]);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}

// Definitions first: what a profile carries is checked against them. Says which trait an identifier type is promoted from.
async function copyDefinitions() {
  const settings = plain(await patient(() => from.identityResolutionSettings(source).fetch()));
  const { identifierConfigs, matchingRules } = settings;
  const groups = plain(await each(from.traitGroups(source), { orderBy: "ASC", includeTraits: true }));
  const there = new Set((await each(to.traitGroups(target), { orderBy: "ASC" })).map((one) => one.displayName));
  const traitOf = new Map();
  await patient(() => to.identityResolutionSettings(target).update({ identifierConfigs, matchingRules }));
  for (const { displayName, description, traits = {} } of groups) {
    const own = there.has(displayName);
    if (own) await patient(() => to.traitGroups(target, displayName).patch({ traits }));
    else await patient(() => to.traitGroups(target).create({ displayName, description, traits }));
    for (const [name, { idTypePromotion: type }] of Object.entries(traits)) {
      if (type && !traitOf.has(type)) traitOf.set(type, [displayName, name]);
    }
  }
  say(`${groups.length} trait groups`);
  return traitOf;
}

async function read(id) {
  const [profile, sets] = await Promise.all([
    patient(() => from.profiles(source, id).fetch()),
    patient(() => from.identifiers(source, id).list()),
  ]);
  const identifiers = plain(sets).flatMap(({ idType, values }) => values.map((value) => ({ idType, value })));
  return { id, traits: plain(profile.traits ?? {}), identifiers };
}

// A body must carry an identifier: where no trait does, the first one that has a trait stands in for it.
function body({ traits, identifiers }, traitOf) {
  const carries = [...traitOf.values()].some(([group, name]) => traits[group]?.[name] !== undefined);
  const first = identifiers.find(({ idType }) => traitOf.has(idType));
  if (carries || !first) return { traits };
  const [group, name] = traitOf.get(first.idType);
  return { traits: { ...traits, [group]: { ...traits[group], [name]: first.value } } };
}

async function ownerOf(identifiers) {
  for (const { idType, value } of identifiers) {
    const { profiles } = await patient(() => to.lookup(target).create({ idType, value }));
    if (profiles.length > 0) return profiles[0];
  }
  return undefined;
}

async function place(person) {
  const owner = await ownerOf(person.identifiers);
  if (owner === undefined) {
    say(`${person.id}: no identifier of it leads to a profile, not copied`);
    return false;
  }
  const has = plain(await patient(() => to.identifiers(target, owner).list()));
  for (const { idType, value } of person.identifiers) {
    const known = has.some((set) => set.idType === idType && set.values.includes(value));
    if (!known) await patient(() => to.identifiers(target, owner).create({ idType, value }));
  }
  process.stdout.write(`${person.id},${owner}\n`);
  return true;
}

async function main() {
  const traitOf = await copyDefinitions();
  const ids = (await each(from.profiles(source), { orderBy: "ASC", pageSize: BATCH })).map((one) => one.id ?? one);
  let copied = 0;
  for (let at = 0; at < ids.length; at += BATCH) {
    const people = await inParallel(ids.slice(at, at + BATCH), read);
    const profiles = people.filter((one) => one.identifiers.length > 0).map((one) => body(one, traitOf));
    if (profiles.length > 0) await patient(() => to.bulk(target).update({ profiles }));
    copied += (await inParallel(people, place)).filter(Boolean).length;
    say(`${copied} of ${ids.length} profiles`);
  }
  if (copied < ids.length) process.exitCode = 1;
}

main().catch((error) => {
  // The client's errors carry what was sent: only what they say is shown.
  say(`${error.status ?? ""} ${error.code ?? ""} ${error.message}`.trim());
  process.exitCode = 2;
});
