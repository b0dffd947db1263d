import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { type Api, apiOf } from '../../test/support/callers/api.ts'
import { appendTo } from '../../test/support/events/longLife.ts'
import { ownFolder, startService } from '../../test/support/processes/service.ts'
import { attack } from './lab.ts'

const ENV = { EVENT_STORE_URL: 'sqlite:events.db', READ_MODEL_URL: 'sqlite:read-model.db' }

interface Case {
  what: string
  type: string
  how: Parameters<typeof appendTo>[3]
  /** May the token be accepted afterwards? */
  isGood: boolean
}

const CASES: Case[] = [
  { what: 'a type that is not known', type: 'TokenSecretEnded', how: {}, isGood: false },
  { what: 'such a type with no data', type: 'X', how: { schemaVersion: 7 }, isGood: false },
  {
    what: 'such a type that only informs',
    type: 'TokenRemarked',
    how: { informational: true },
    isGood: true,
  },
  { what: 'a version that is not known', type: 'TokenUpdated', how: { schemaVersion: 2 }, isGood: false },
  { what: 'a type of another stream', type: 'TokensUsed', how: {}, isGood: false },
]

/** A newer version has ended tokens in its own way, and was then rolled back. What does this version accept? */
await attack('events of a newer version in the streams of tokens', async ({ control, bound }) => {
  const folder = await ownFolder()
  const before = await startService(ENV, folder)
  const owner = apiOf(before.url)
  const untouched = (await owner.create({ name: 'untouched' })).body
  const tokens = []
  for (const { what } of CASES) tokens.push((await owner.create({ name: what })).body)
  await before.stop()

  const store = await openSqliteEventStore(`${folder}/events.db`)
  for (const [n, { type, how }] of CASES.entries()) await appendTo(store, tokens[n]?.id ?? '', type, how)
  await store.close()

  const service = await startService(ENV, folder)
  const api = apiOf(service.url)
  control('a token without such an event is accepted', (await api.use(untouched.token)) === 200)
  for (const [n, { what, isGood }] of CASES.entries()) {
    const { id = '', token = '' } = tokens[n] ?? {}
    const use = await api.use(token)
    bound(`${what}: the token gives ${use}`, use === (isGood ? 200 : 401))
    const change = await api.patch(id, { name: 'changed' })
    bound(`${what}: a change gives ${change.status}`, (change.status === 200) === isGood)
  }
  const stopped = CASES.filter(({ isGood }) => !isGood).length
  bound(`${await refusals(api)} refused events are counted, of ${stopped}`, (await refusals(api)) === stopped)
  control('changes of others go on', (await api.patch(untouched.id, { name: 'changed' })).status === 200)
})

async function refusals(api: Api): Promise<number> {
  const { body } = await api.call<string>('GET', '/metrics')
  return [...body.matchAll(/^tokenledger_events_refused_total\{kind="(?:type|version)"\} (\d+)/gm)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  )
}
