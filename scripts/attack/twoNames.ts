import { type Api, apiOf } from '../../test/support/callers/api.ts'
import { mayMount, OTHER_NAMES, type OtherName } from '../../test/support/processes/otherNames.ts'
import {
  endServices,
  MAIN,
  ownFolder,
  type ServiceProcess,
  startService,
} from '../../test/support/processes/service.ts'
import { attack } from './lab.ts'

const CREATIONS = 30

/** Creates tokens one after the other. @returns the ids of those that were acknowledged */
async function createSome(api: Api, by: string): Promise<string[]> {
  const ids: string[] = []
  for (let n = 0; n < CREATIONS; n++) {
    const { status, body } = await api.create({ name: `${by} ${n}` })
    if (status === 201) ids.push(body.id)
  }
  return ids
}

const service = [process.execPath, MAIN]

const start = ({ folder, command }: OtherName): Promise<ServiceProcess | null> =>
  startService(QUICK, folder, command ?? service).catch(() => null)

const QUICK = { MAX_TOKENS_PER_ACCOUNT: '100000', USAGE_FLUSH_MS: '50' }

async function missing(api: Api, ids: readonly string[]): Promise<number> {
  let count = 0
  for (const id of ids) if ((await api.read(id)).status !== 200) count++
  return count
}

await attack('Two services write one event store, which has two names', async ({ saw, control, bound }) => {
  if (!mayMount()) saw('mounts are left out: this user may not make any')

  for (const [name, otherNameOf] of Object.entries(OTHER_NAMES)) {
    const folder = await ownFolder()
    const first = await startService(QUICK, folder)
    const acknowledged = await createSome(apiOf(first.url), 'before')
    const other = await otherNameOf(folder)
    const second = await start(other)
    saw(`${name}: the second service ${second ? 'starts' : 'is refused'}`)
    const both = [first, ...(second ? [second] : [])]
    const ids = await Promise.all(both.map(({ url }, n) => createSome(apiOf(url), `service ${n}`)))
    acknowledged.push(...ids.flat())
    if (name === 'a new name')
      bound('nothing is acknowledged in a file that has lost its name', ids.flat().length === 0)
    else
      bound(
        'the first one goes on, or the second one does',
        ids.some(({ length }) => length === CREATIONS),
      )
    for (const one of both) await one.kill()

    const again = (await start({ folder })) ?? (await start(other))
    const lost = again ? await missing(apiOf(again.url), acknowledged) : acknowledged.length
    // If both names are refused, nothing is lost: the refusal says where the changes are.
    bound(`of ${acknowledged.length} acknowledged creations ${lost} are lost`, lost === 0 || again === null)
    await again?.stop()
    await endServices()
  }

  const folder = await ownFolder()
  const first = await startService(QUICK, folder)
  const acknowledged = await createSome(apiOf(first.url), 'before')
  await first.stop()
  const other = await (OTHER_NAMES['a hard link'] as (first: string) => Promise<OtherName>)(folder)
  const second = await start(other)
  control(
    'after a stop in good order any name will do, and everything is there',
    second !== null && (await missing(apiOf(second.url), acknowledged)) === 0,
  )
})
