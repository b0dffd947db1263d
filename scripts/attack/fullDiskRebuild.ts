import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { type Api, apiOf } from '../../test/support/callers/api.ts'
import { cli } from '../../test/support/processes/cli.ts'
import { eventually } from '../../test/support/suite/eventually.ts'
import { historyOn } from '../../test/support/events/history.ts'
import { mayMount } from '../../test/support/processes/otherNames.ts'
import { endServices, startService } from '../../test/support/processes/service.ts'
import { endSmallDisks, smallDisk } from '../../test/support/stores/smallDisk.ts'
import { attack } from './lab.ts'

const MIB = 1024 * 1024
const EVENTS = 3_000

async function statusOfCreation(api: Api): Promise<number> {
  return (await api.create({ name: 'one more' })).status
}

/** Creates tokens until the disk is full. The first ones may succeed, since there is room left inside the files. */
async function createUntilFull(api: Api): Promise<void> {
  for (let n = 0; n < 200; n++) {
    const statuses = await Promise.all(Array.from({ length: 20 }, () => statusOfCreation(api)))
    if (statuses.every((status) => status === 503)) return
  }
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? ''

async function checks(api: Api): Promise<Record<string, unknown>> {
  return (await api.call<{ checks: Record<string, unknown> }>('GET', '/health/ready')).body.checks
}

await attack(
  'A rebuild meets a full disk, beside a service on that disk',
  async ({ saw, control, bound }) => {
    if (!mayMount()) {
      saw('left out: this user may not make a small disk')
      return bound('nothing was tried', true)
    }
    try {
      const disk = await smallDisk(96 * MIB)
      const data = (name: string): string => join(disk.folder, 'data', name)
      const store = await openSqliteEventStore(data('events.db'))
      await (await historyOn(store)).grow(EVENTS)
      await store.close()
      const service = await startService({ MAX_TOKENS_PER_ACCOUNT: '100000' }, disk.folder)
      const api = apiOf(service.url)
      const { token } = (await api.create({ name: 'used' })).body
      const file = readdirSync(join(disk.folder, 'data')).find((name) => name === 'read-model.db') ?? ''
      const size = statSync(data(file)).size + statSync(data(`${file}-wal`)).size
      const left = (): string[] =>
        readdirSync(join(disk.folder, 'data')).filter((name) => /\.g\d+(-\w+)?$/.test(name))
      saw(`the read model has ${(size / MIB).toFixed(1)} MiB`)

      disk.fill(size / 2)
      const refused = await cli(['rebuild'], disk.folder)
      saw(`with half of that free: ${lastLine(refused.stderr)}`)
      bound(
        'a rebuild that has no room is refused and leaves nothing',
        refused.code === 1 && left().length === 0,
      )
      bound('the service goes on writing', (await statusOfCreation(api)) === 201)

      await disk.empty()
      const cutOff = await cli(['rebuild'], disk.folder, {}, ['prlimit', `--fsize=${MIB}`])
      saw(`cut off while it fills: ${lastLine(cutOff.stderr)}`)
      bound('one that finds no room on its way leaves nothing', cutOff.code === 1 && left().length === 0)

      writeFileSync(data('read-model.db.g2'), Buffer.alloc(8 * MIB))
      disk.fill(0)
      saw(`with no room at all a creation gives ${await statusOfCreation(api)}`)
      await eventually(async () => {
        const status = await statusOfCreation(api)
        if (status !== 201) throw new Error(`a creation gives ${status}`)
      }).catch((error: unknown) => saw(String(error)))
      bound(
        'what a killed one has left is cleared away when room is short',
        (await statusOfCreation(api)) === 201 && !existsSync(data('read-model.db.g2')),
      )

      disk.fill(0)
      await createUntilFull(api)
      const [status, full, use] = [await statusOfCreation(api), await checks(api), await api.use(token)]
      saw(`full: a creation gives ${status}, a use ${use}, readiness says ${JSON.stringify(full)}`)
      bound(
        'without room writes fail, authentication does not, and readiness says so',
        status === 503 && use === 200 && full.event_store === 'not_writable',
      )
      await disk.empty()
      await sleep(2_500)
      bound(
        'with room again everything is well, without a restart or a request',
        (await checks(api)).event_store === 'ok' && (await statusOfCreation(api)) === 201,
      )

      const { code, stderr } = await cli(['rebuild'], disk.folder)
      control('with room enough a rebuild succeeds', code === 0)
      if (code !== 0) saw(stderr)
      disk.fill(0)
      await service.kill()
      const again = await startService({}, disk.folder).catch((error: unknown) => error)
      saw(
        `started anew on the full disk: ${again instanceof Error ? again.message.split('\n').at(-1) : 'it listens'}`,
      )
    } finally {
      await endServices().catch(() => {})
      endSmallDisks()
    }
  },
)
