import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { apiOf } from '../../test/support/callers/api.ts'
import { failingService, ownFolder, startService } from '../../test/support/processes/service.ts'
import { attack } from './lab.ts'

/**
 * A log is copied, and both copies grow by the same number of events. Then the read model of one is put beside the log
 * of the other. By its position it seems to have caught up, but a revocation is missing in it.
 */

const MODEL = /read-model\.db/

/** Runs a service on a copy of the data. Every branch adds the same number of events. @returns the folder */
async function branch(
  from: string,
  live: (api: ReturnType<typeof apiOf>) => Promise<unknown>,
): Promise<string> {
  const folder = await ownFolder()
  await cp(from, folder, { recursive: true })
  const service = await startService({}, folder)
  await live(apiOf(service.url))
  await service.stop()
  return folder
}

async function withModelOf(log: string, model: string): Promise<string> {
  const folder = await ownFolder()
  await cp(join(log, 'data'), join(folder, 'data'), { recursive: true, filter: (path) => !MODEL.test(path) })
  await cp(join(model, 'data'), join(folder, 'data'), {
    recursive: true,
    force: false,
    filter: (path) => !/events\.db/.test(path),
  })
  return folder
}

await attack('the read model of another branch of the log', async ({ saw, control, bound }) => {
  const first = await startService()
  const { body: token } = await apiOf(first.url).create({ name: 'leaked' })
  await first.stop()

  const revoked = await branch(first.folder, (api) => api.revoke(token.id))
  const renamed = await branch(first.folder, (api) => api.patch(token.id, { name: 'still good' }))

  const own = await startService({}, await withModelOf(revoked, revoked))
  control(
    'with its own read model the service starts and refuses the token',
    (await apiOf(own.url).use(token.token)) === 401,
  )
  await own.stop()
  const behind = await startService({}, await withModelOf(revoked, first.folder))
  control(
    'with an older read model of the same log as well',
    (await apiOf(behind.url).use(token.token)) === 401,
  )
  await behind.stop()

  const mixed = await withModelOf(revoked, renamed)
  const { code, stderr } = await failingService({}, mixed)
  saw(`with the other one it ends with ${code}: ${stderr.trim()}`)
  bound('with that of the other branch it does not start', code === 1)
  bound(
    'and says what it is, and what to do',
    /another branch of this one/.test(stderr) && /read-model\.db\*/.test(stderr),
  )
  await rm(join(mixed, 'data'), { recursive: true })
  await cp(join(revoked, 'data'), join(mixed, 'data'), {
    recursive: true,
    filter: (path) => !MODEL.test(path),
  })
  const mended = await startService({}, mixed)
  bound('which helps: the token is refused', (await apiOf(mended.url).use(token.token)) === 401)
})
