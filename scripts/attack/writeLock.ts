import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { apiOf } from '../../test/support/callers/api.ts'
import { eventually } from '../../test/support/suite/eventually.ts'
import { whileUsing } from '../../test/support/callers/latency.ts'
import { endLockers, LOCKS, LONG_READ, lockWith } from '../../test/support/stores/locker.ts'
import { startService } from '../../test/support/processes/service.ts'
import { attack } from './lab.ts'

const HELD_MS = 2_500
/** The longest time for an authentication. With a stalled event loop it would be two seconds. */
const MOST_MS = 500
const SLOWEST_COMMAND_MS = 5_000

await attack(
  'Another program locks a file of the service, and forgets it',
  async ({ saw, control, bound }) => {
    const service = await startService({ USAGE_FLUSH_MS: '50', MAX_TOKENS_PER_ACCOUNT: '100000' })
    const api = apiOf(service.url)
    const { id, token } = (await api.create({ name: 'used' })).body
    await api.use(token)
    let uses = 1

    const commands = async (): Promise<{ statuses: Set<number>; slowest: number }> => {
      const [statuses, until] = [new Set<number>(), performance.now() + HELD_MS]
      let slowest = 0
      while (performance.now() < until) {
        const started = performance.now()
        const answers = await Promise.all([
          api.create({ name: 'new' }),
          api.patch(id, { name: `n ${started}` }),
        ])
        slowest = Math.max(slowest, performance.now() - started)
        for (const { status } of answers) statuses.add(status)
        await sleep(50)
      }
      return { statuses, slowest }
    }

    const quiet = await whileUsing(service.url, token, commands)
    uses += quiet.uses
    saw(`nothing locked: slowest authentication ${quiet.slowest.toFixed(0)} ms`)
    control(
      'with nothing locked, everything is answered',
      [...quiet.result.statuses].every((status) => status < 300),
    )

    for (const file of ['events.db', 'read-model.db']) {
      const path = join(service.folder, 'data', file)
      for (const [what, sql] of Object.entries(LOCKS)) {
        const before = service.output().length
        const locker = await lockWith(path, sql)
        const { slowest, statuses, uses: more, result } = await whileUsing(service.url, token, commands)
        await locker.release()
        uses += more
        saw(
          `${file}, ${what}: slowest authentication ${slowest.toFixed(0)} ms, slowest command ${result.slowest.toFixed(0)} ms`,
        )
        bound('authentication goes on', Object.keys(statuses).join() === '200' && slowest < MOST_MS)
        bound(
          'commands are answered with 503 in time',
          result.statuses.has(503) && result.slowest < SLOWEST_COMMAND_MS,
        )
        await eventually(async () => {
          const { status } = await api.create({ name: 'afterwards' })
          if (status !== 201) throw new Error(`a creation gives ${status}`)
        })
        await sleep(300)
        const said = service.output().slice(before)
        bound(
          'who has it is said once, and once that it is over',
          said.split('cannot be written"').length === 2 &&
            said.includes(`"pid":${locker.pid}`) &&
            said.includes('can be written again'),
        )
      }
    }

    const reader = await lockWith(join(service.folder, 'data', 'events.db'), LONG_READ)
    const beside = await whileUsing(service.url, token, commands)
    uses += beside.uses
    bound(
      'somebody who reads for long is in nobody’s way',
      [...beside.result.statuses].every((status) => status < 300) && beside.slowest < MOST_MS,
    )
    await eventually(async () => {
      const { requests } = (await api.usage(id)).body.total
      if (requests !== uses) throw new Error(`${requests} of ${uses} uses are counted`)
    })
    bound(`all ${uses} uses are counted`, true)
    const stopping = performance.now()
    const code = await service.stop()
    bound('and the stop does not wait for the reader', code === 0 && performance.now() - stopping < 3_000)
    await reader.release()
    await endLockers()
  },
)
