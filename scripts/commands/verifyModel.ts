import { compareReadModel } from '../cli/compareReadModel.ts'
import type { Settings } from '../../src/settings/settings.ts'
import type { ExitCode, Io } from '../cli/command.ts'
import { logTo } from '../cli/logTo.ts'
import { refusedText } from '../cli/damage.ts'
import { json, plural, printable, progress } from '../cli/output.ts'

type Compared = Awaited<ReturnType<typeof compareReadModel>>

/** `verify` without options: is the read model what the events say? */
export async function verifyModel(settings: Settings, io: Io, asJson: boolean): Promise<ExitCode> {
  const bar = progress(io, 2)
  let phase = ''
  const compared = await compareReadModel(settings, {
    log: logTo(io),
    onProgress(state) {
      if (state.phase !== phase) bar.step(state.phase, state.phase === 'folding' ? 'event' : 'document')
      phase = state.phase
      bar.at(null, state.count)
    },
  }).finally(bar.done)
  const { documents, differing, differences, refused } = compared
  const isSound = differing === 0 && refused.events === 0
  await io.write(
    asJson ? json({ ok: isSound, documents, differing, differences, refused }) : reportOf(compared),
  )
  return isSound ? 0 : 1
}

function reportOf({ documents, differing, differences, refused }: Compared): string {
  const lines = differences.map(({ collection, id, field, expected, found }) => {
    const what = field === null ? '' : ` ${field}`
    return `${collection} ${id}${what}: the events say ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`
  })
  const shown = new Set(differences.map(({ collection, id }) => `${collection} ${id}`)).size
  if (differing > shown) lines.push(`and ${plural(differing - shown, 'document')} more`)
  lines.push(...refused.first.map(refusedText))
  const more = refused.events - refused.first.length
  if (more > 0) lines.push(`and ${plural(more, 'refused event')} more`)
  lines.push(
    differing === 0
      ? `${plural(documents, 'document')} compared: the read model is what the events say${refused.events > 0 ? ', but for those that are refused' : ''}.`
      : `${differing} of ${plural(documents, 'document')} differ. Fill them again with: tokenledger rebuild`,
  )
  return lines.map((line) => `${printable(line)}\n`).join('')
}
