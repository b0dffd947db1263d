import { readSettings } from './settings.ts'

type Environment = Record<string, string | undefined>

/** The names of all settings. They come from the code that reads them, so a new one appears here by itself. */
export function settingNames(): string[] {
  const names = new Set<string>()
  readSettings(
    new Proxy<Environment>(
      {},
      {
        get(_, name) {
          names.add(String(name))
          return undefined
        },
      },
    ),
  )
  return [...names]
}

/** A longer name is no misspelling of one of ours, and comparing takes time. */
const LONGEST = 64

/**
 * Names in the environment that look like settings and are none, each with what may be meant. They are never errors,
 * since the environment belongs to other programs, too.
 * @returns sentences without any value
 */
export function misspelt(env: Environment): string[] {
  const known = settingNames()
  const families = familiesOf(known)
  const found = Object.keys(env)
    .filter((name) => name.length <= LONGEST && !known.includes(name) && env[name] !== '')
    .flatMap((name) => {
      const meant = known.find((one) => isNear(name.toUpperCase(), one))
      if (meant !== undefined) return [`${name} is no setting: is ${meant} meant?`]
      const isOfFamily = families.some((family) => name.startsWith(family))
      return isOfFamily ? [`${name} is no setting, though it begins like one`] : []
    })
  const mode = env.NODE_ENV ?? ''
  const isAlmost = mode !== 'production' && (/^(prod|live$)/i.test(mode) || isNear(mode, 'production'))
  return isAlmost ? [...found, 'NODE_ENV is not production, though it looks like it'] : found
}

/** The first words that several settings have in common, as in `JWT_ISSUER` and `JWT_AUDIENCE`. */
function familiesOf(names: readonly string[]): string[] {
  const words = names.filter((name) => name.includes('_')).map((name) => name.slice(0, name.indexOf('_') + 1))
  return [...new Set(words)].filter((word) => words.indexOf(word) !== words.lastIndexOf(word))
}

/** One letter in four may differ, and two at most: short names are near to many others. */
const isNear = (name: string, known: string): boolean =>
  isWithin(Math.min(2, Math.floor(known.length / 4)), name, known)

/** Whether at most so many letters have to be inserted, removed or replaced (Levenshtein). Ends as soon as it knows. */
function isWithin(most: number, a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > most) return false
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      const replaced = (row[j] as number) + (a[i] === b[j] ? 0 : 1)
      next.push(Math.min(replaced, (row[j + 1] as number) + 1, (next[j] as number) + 1))
    }
    // No later row has a smaller least.
    if (Math.min(...next) > most) return false
    row = next
  }
  return (row[b.length] as number) <= most
}
