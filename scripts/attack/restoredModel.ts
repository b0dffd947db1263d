import { setTimeout as sleep } from 'node:timers/promises'
import type { Db } from 'mongodb'
import { dump, restore, within } from '../../test/support/stores/dump.ts'
import { eventually } from '../../test/support/suite/eventually.ts'
import { type Member, ready, startFleet } from '../../test/support/processes/fleet.ts'
import { hammer } from '../../test/support/callers/hammer.ts'
import { attack, type Report } from './lab.ts'

/**
 * While two processes serve from a read model, somebody drops or empties it, or replaces it by an older one, with the
 * tools of MongoDB. No revoked token may be accepted again, and no good token refused as unknown.
 */

const BOUND_MS = 2_000
const QUIET_MS = 1_500

interface Scene {
  members: [Member, Member]
  url: string
}

/** Makes two tokens, one of which is revoked after the dump. Then `harm` changes the database under the processes. */
async function scene(
  report: Report,
  title: string,
  { members, url }: Scene,
  harm: (database: Db, put: (only?: (name: string) => boolean) => Promise<void>) => Promise<void>,
): Promise<void> {
  const [one, other] = members
  const { body: good } = await one.api.create({ name: 'good' })
  const { body: bad } = await one.api.create({ name: 'revoked since' })
  const fires = members.flatMap(({ api }) => [good, bad].map(({ token }) => hammer(api.url, token)))
  await Promise.all(fires.map((fire) => fire.until(200)))
  await sleep(QUIET_MS)
  const before = await dump(url)
  await other.api.revoke(bad.id)
  const { body: late } = await other.api.create({ name: 'made since' })
  await sleep(QUIET_MS)

  await within(url, (client) => harm(client.db(), (only) => restore(url, before, { only })))
  const done = performance.now()
  await sleep(BOUND_MS + QUIET_MS)
  // On a busy machine it may take longer, so each gets a second chance.
  await Promise.all(members.map((member) => ready(member).catch(() => ready(member))))
  let checked = 0
  for (const { api } of members)
    await eventually(async () => {
      const ofGood = await api.use(good.token)
      if (ofGood === 200) checked++
      const seen = [ofGood, await api.use(late.token), await api.use(bad.token)]
      if (seen.join() !== '200,200,401') throw new Error(`answers ${seen.join()}`)
    })
  const back = performance.now() - done
  await Promise.all(fires.map((fire) => fire.stop()))
  const ofBad = fires.filter((_, i) => i % 2 === 1).map((fire) => fire.lastAccepted() - done)
  const ofGoodToken = fires.filter((_, i) => i % 2 === 0)
  const ofGood = new Set(ofGoodToken.flatMap(({ statuses }) => [...statuses.keys()]))
  report.saw(
    `${title}: served again after ${Math.round(back)} ms; the good token got ${[...ofGood].join(', ')}`,
  )
  report.bound(`${title}: the revoked token is not accepted later than 2 s`, Math.max(...ofBad) < BOUND_MS)
  report.bound(`${title}: a good token is never 401`, !ofGood.has(401))
  const uses = ofGoodToken.reduce((sum, { statuses }) => sum + (statuses.get(200) ?? 0), checked)
  const counted = async (): Promise<number> => (await one.api.usage(good.id)).body.total.requests
  await eventually(async () => (await counted()) === uses || Promise.reject(new Error('not yet'))).catch(
    () => {},
  )
  report.bound(`${title}: ${uses} uses are ${await counted()} in the statistics`, (await counted()) === uses)
  const { body: listed } = await one.api.list()
  const names = new Set(listed.data.map(({ id }) => id))
  report.bound(
    `${title}: everything is there again`,
    [good, bad, late].every(({ id }) => names.has(id)),
  )
}

const isOf = (name: string) => (collection: string) => collection.startsWith(`${name}_v`)

async function tokensIn(database: Db): Promise<string> {
  const names = await database.listCollections({}, { nameOnly: true }).toArray()
  return names.find(({ name }) => isOf('tokens')(name))?.name ?? ''
}

await attack('a read model that is dropped, emptied or restored beside its services', async (report) => {
  const fleet = await startFleet(2)
  const members = fleet.members as [Member, Member]
  const url = fleet.stores.READ_MODEL_URL
  const at = { members, url }
  try {
    const { body } = await members[0].api.create({ name: 'control' })
    await members[1].api.revoke(body.id)
    await sleep(BOUND_MS)
    const controls = await Promise.all(members.map(({ api }) => api.use(body.token)))
    report.control('left alone, a revoked token is refused by both', controls.join() === '401,401')

    await scene(report, 'older dump restored', at, (_, put) => put())
    await scene(report, 'database dropped', at, async (database) => void (await database.dropDatabase()))
    await scene(report, 'tokens emptied', at, async (database) => {
      await database.collection(await tokensIn(database)).deleteMany({})
    })
    await scene(report, 'tokens alone restored', at, (_, put) => put(isOf('tokens')))
    for (const { service } of members) await service.stop()
    const restarted = await fleet.add()
    report.bound('after a restart it is refused as well', (await restarted.api.use(body.token)) === 401)
  } finally {
    await fleet.close()
  }
})
