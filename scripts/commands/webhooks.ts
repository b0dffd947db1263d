import type { Settings } from '../../src/settings/settings.ts'
import { defineCommand, type ExitCode, type Io, JSON_OPTION, WrongUse } from '../cli/command.ts'
import { foundOutbox, readOutbox, resumeOutbox, sendTest } from '../cli/outbox.ts'
import { json, plural, table } from '../cli/output.ts'
import { storedSettings } from '../cli/storedSettings.ts'

type Outbox = NonNullable<Awaited<ReturnType<typeof readOutbox>>>

export const webhooks = defineCommand({
  name: 'webhooks',
  summary: 'Webhooks that wait, and why; send one to try; go on after a 410.',
  usage: '[test | resume] [--json]',
  help: [
    'Shows what waits: how many events and since when, the tokens of which one was not taken, and when each is tried',
    'next. `test` sends one of type webhook.test to WEBHOOK_URL, signed with WEBHOOK_SECRET; exit code 1 if it is not',
    'taken. `resume` goes on sending to a server that has answered 410; a running service does so within seconds.',
  ].join('\n'),
  args: [],
  takesMore: true,
  options: { json: JSON_OPTION },
  run({ values, args }, io): Promise<ExitCode> {
    const settings = storedSettings(io)
    const isJson = values.json === true
    if (args.length > 1) throw new WrongUse('Too many arguments.')
    switch (args[0]) {
      case undefined:
        return list(settings, io, isJson)
      case 'test':
        return test(settings, io, isJson)
      case 'resume':
        return resume(settings, io, isJson)
      default:
        throw new WrongUse('What can be done with webhooks: test, resume; without either they are shown.')
    }
  },
})

async function list(settings: Settings, io: Io, isJson: boolean): Promise<ExitCode> {
  const outbox = foundOutbox(await readOutbox(settings, io.now), settings)
  io.out(isJson ? json(shown(outbox)) : report(outbox))
  return 0
}

const shown = ({ waiting, oldest, stopped, lastFailure, givenUp, aside }: Outbox) => ({
  waiting,
  oldest_at: oldest,
  stopped_at: stopped?.at ?? null,
  last_failure: lastFailure,
  given_up: givenUp,
  tokens: aside.map((one) => ({
    token_id: one.tokenId,
    waiting: one.waiting,
    attempts: one.attempts,
    failing_since: one.since,
    next_try_at: one.nextAt,
    reason: one.reason,
  })),
})

function report({ waiting, oldest, stopped, lastFailure, givenUp, aside }: Outbox): string {
  const lines = [
    oldest === null ? 'Nothing waits.' : `${plural(waiting, 'event')} waiting, the oldest since ${oldest}.`,
    ...(stopped
      ? [`Stopped at ${stopped.at}: the server answered 410. See: tokenledger webhooks resume`]
      : []),
    `Last failure: ${lastFailure ? `${lastFailure.at}, ${lastFailure.reason}` : 'none'}`,
    ...(givenUp > 0 ? [`${plural(givenUp, 'event')} not taken for three days, and given up.`] : []),
  ]
  const rows = aside.map((one) => [one.tokenId, one.waiting, one.attempts, one.nextAt, one.reason])
  const tokens =
    rows.length === 0 ? '' : `\n${table(['token', 'waiting', 'attempts', 'next try', 'why'], rows)}`
  return `${lines.join('\n')}\n${tokens}`
}

async function test(settings: Settings, io: Io, isJson: boolean): Promise<ExitCode> {
  const { id, isTaken, said } = await sendTest(settings, io.now)
  io.out(
    isJson ? json({ id, taken: isTaken, answer: said }) : `${isTaken ? 'Taken' : 'Not taken'}: ${said}\n`,
  )
  return isTaken ? 0 : 1
}

const RESUMED = {
  resumed: 'Webhooks are sent again.',
  asked: 'The running service was asked to send webhooks again: it does so within seconds.',
  idle: 'Nothing was stopped.',
}

async function resume(settings: Settings, io: Io, isJson: boolean): Promise<ExitCode> {
  const result = await resumeOutbox(settings, io.now, (text) => io.err(`${text}\n`))
  io.out(isJson ? json({ result }) : `${RESUMED[result]}\n`)
  return 0
}
