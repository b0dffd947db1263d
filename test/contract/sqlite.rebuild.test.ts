import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSqliteEventStore } from '../../src/adapters/sqlite/event-store.ts'
import { openSqliteReadModel } from '../../src/adapters/sqlite/read-model.ts'
import { rebuildContract } from './rebuild.contract.ts'

rebuildContract('SQLite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tokenledger-rebuild-'))
  const store = await openSqliteEventStore(join(folder, 'events.db'))
  const path = join(folder, 'read-model.db')
  return {
    store,
    serve: () => openSqliteReadModel(path),
    read: () => openSqliteReadModel(path, { readOnly: true }),
    names: async () => readdirSync(folder).filter((name) => /^read-model\.db(\.g\d+)?$/.test(name)),
    async dispose() {
      await store.close()
      rmSync(folder, { recursive: true })
    },
  }
})
