import { openDatabase } from '../../../src/adapters/sqlite/database/database.ts'

type Prepare = (sql: string) => unknown
interface Driver {
  prototype: { prepare: Prepare }
}

/** The driver that is used here. */
async function driver(): Promise<Driver> {
  const builtin = process.getBuiltinModule?.('node:sqlite' as never) as { DatabaseSync: Driver } | undefined
  return builtin?.DatabaseSync ?? (await import('libsql')).default
}

/** Records every statement that SQLite gets from now on, in this process. */
export async function recordStatements(): Promise<{ statements: ReadonlySet<string>; stop(): void }> {
  const { prototype } = await driver()
  const { prepare } = prototype
  const statements = new Set<string>()
  prototype.prepare = function recorded(this: unknown, sql) {
    statements.add(sql)
    return prepare.call(this, sql)
  }
  return { statements, stop: () => void (prototype.prepare = prepare) }
}

/** Tables that always have only a few rows: one for each table, or for each projection. */
const SMALL = ['sqlite_schema', 'sqlite_master', 'sqlite_sequence', 'checkpoints', 'writer']
const SCANS = new RegExp(`^SCAN (?!CONSTANT ROW|\\(?subquery|json_each|${SMALL.join('|')})`, 'i')

/** The statements whose tables a file has, and what is wrong with their plans. */
export async function plansIn(
  file: string,
  statements: Iterable<string>,
): Promise<{ explained: string[]; problems: string[] }> {
  const database = await openDatabase(file, { readOnly: true, synchronous: 'NORMAL' })
  const explained: string[] = []
  const problems: string[] = []
  for (const sql of statements) {
    if (!/^\s*(SELECT|UPDATE|DELETE)/i.test(sql)) continue
    const steps = planOf(() => database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all())
    if (!steps) continue
    explained.push(sql)
    const bad = steps.filter((step) => SCANS.test(step) || step.includes('TEMP B-TREE'))
    if (bad.length > 0) problems.push(`${bad.join('; ')}: ${sql}`)
  }
  database.close()
  return { explained, problems }
}

function planOf(explain: () => readonly { detail?: unknown }[]): string[] | null {
  try {
    return explain().map(({ detail }) => String(detail))
  } catch (error) {
    if (/no such table/.test((error as Error).message)) return null
    throw error
  }
}
