import { createLogDigester } from '../../src/application/audit/logDigest.ts'
import { DamagedError } from '../../src/domain/errors.ts'
import { signCheckpoint } from '../../src/application/audit/checkpoint.ts'
import { signingKey } from '../../src/settings/auditKey.ts'
import { walkLog } from '../../src/application/audit/verifyLog.ts'
import { withEventStore } from '../cli/stores.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { defineCommand, type ExitCode, JSON_OPTION } from '../cli/command.ts'
import { damageText } from '../cli/damage.ts'
import { json, progress } from '../cli/output.ts'

export const checkpoint = defineCommand({
  name: 'checkpoint',
  summary: 'Print a signed head of the whole log, to hold it to later: verify --against.',
  usage: '[--json]',
  help: [
    'Checks every event, and binds each by stream, revision and link, in the order of the log. Keep the output where',
    'whoever may change the log may not change it. Signed (Ed25519) with AUDIT_KEY_FILE; outside of production a key',
    'is made in data/ if there is none. Only reads the log, and may run beside the service.',
  ].join('\n'),
  args: [],
  options: { json: { ...JSON_OPTION, help: 'The same: a checkpoint is JSON.' } },
  async run(_, io): Promise<ExitCode> {
    const settings = storedSettings(io)
    const bar = progress(io, 1)
    try {
      return await withEventStore<ExitCode>(settings, async ({ store }) => {
        const key = signingKey(settings)
        const digester = createLogDigester()
        bar.step('reading the log')
        await walkLog(store, {
          onEvent: digester.add,
          onDamage(damage) {
            throw new DamagedError(`What is damaged is not signed. ${damageText(damage)}`)
          },
          onProgress: (events) => bar.at(null, events),
        })
        const at = new Date(io.now()).toISOString()
        bar.done()
        io.out(json(signCheckpoint(digester.result(), at, key)))
        return 0
      })
    } catch (error) {
      bar.done()
      throw error
    }
  },
})
