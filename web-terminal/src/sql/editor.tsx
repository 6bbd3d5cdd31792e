/** The editor: CodeMirror with PostgreSQL's grammar, names of the database as completions, and the place of an error. */
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands'
import { PostgreSQL, type SQLNamespace, sql } from '@codemirror/lang-sql'
import { bracketMatching, HighlightStyle, syntaxHighlighting } from '@codemirror/language'
import { Compartment, EditorState, Prec, StateEffect, StateField } from '@codemirror/state'
import {
  Decoration,
  type DecorationSet,
  drawSelection,
  EditorView,
  keymap,
  lineNumbers,
  placeholder,
} from '@codemirror/view'
import { tags } from '@lezer/highlight'
import { useEffect, useRef } from 'react'
import { nonce } from '../nonce.ts'
import { words } from '../strings/strings.ts'

/** Colours are the page's own, so that both schemes have their contrast. */
const colours = HighlightStyle.define([
  { tag: tags.keyword, color: 'var(--sql-keyword)', fontWeight: '600' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--sql-string)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--sql-number)' },
  { tag: [tags.lineComment, tags.blockComment], color: 'var(--quiet)', fontStyle: 'italic' },
  { tag: tags.typeName, color: 'var(--accent)' },
])

const markError = StateEffect.define<number | undefined>()
const errors = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update: (marks, transaction) => {
    for (const effect of transaction.effects)
      if (effect.is(markError))
        return effect.value === undefined ? Decoration.none : at(transaction.state, effect.value)
    return transaction.docChanged ? Decoration.none : marks
  },
  provide: (field) => EditorView.decorations.from(field),
})

/** The word at that place, or what is left of it at the end. */
function at(state: EditorState, position: number): DecorationSet {
  const from = Math.max(0, Math.min(position, state.doc.length - 1))
  const word = state.wordAt(from) ?? { from, to: Math.min(from + 1, state.doc.length) }
  return word.to > word.from
    ? Decoration.set([Decoration.mark({ class: 'sql-error-mark' }).range(word.from, word.to)])
    : Decoration.none
}

/** What the page does with an editor. */
export type EditorHand = {
  /** What is selected, or everything; and where that begins. */
  text(): { readonly sql: string; readonly from: number }
  insert(name: string): void
  replace(sql: string): void
  /** A place in the text; undefined takes the mark away. */
  mark(position: number | undefined): void
  focus(): void
}

export function SqlEditor(props: {
  readonly schema: SQLNamespace
  readonly onRun: () => void
  readonly onReady: (hand: EditorHand) => void
}): React.JSX.Element {
  const host = useRef<HTMLDivElement>(null)
  const view = useRef<EditorView>(undefined)
  const language = useRef(new Compartment())
  const { onRun, onReady, schema } = props
  const run = useRef(onRun)
  useEffect(() => {
    run.current = onRun
  }, [onRun])
  useEffect(() => {
    if (host.current === null) return undefined
    const editor = new EditorView({
      parent: host.current,
      state: EditorState.create({
        extensions: [
          EditorView.cspNonce.of(nonce),
          lineNumbers(),
          history(),
          drawSelection(),
          bracketMatching(),
          closeBrackets(),
          autocompletion(),
          syntaxHighlighting(colours),
          errors,
          placeholder(words.sql.placeholder),
          EditorView.contentAttributes.of({ 'aria-label': words.sql.editor }),
          EditorView.lineWrapping,
          Prec.highest(
            keymap.of([
              {
                key: 'Mod-Enter',
                run: () => {
                  run.current()
                  return true
                },
              },
            ]),
          ),
          // Tab goes on to the next control: nobody is caught here.
          keymap.of([...closeBracketsKeymap, ...completionKeymap, ...historyKeymap, ...defaultKeymap]),
          language.current.of(sql({ dialect: PostgreSQL })),
        ],
      }),
    })
    view.current = editor
    onReady(handOf(editor))
    editor.focus()
    return () => editor.destroy()
  }, [onReady])
  useEffect(() => {
    view.current?.dispatch({
      effects: language.current.reconfigure(sql({ dialect: PostgreSQL, schema, upperCaseKeywords: false })),
    })
  }, [schema])
  return <div ref={host} className="sql-editor" />
}

const handOf = (editor: EditorView): EditorHand => ({
  text: () => {
    const { main } = editor.state.selection
    const isAll = main.empty
    return {
      sql: isAll ? editor.state.doc.toString() : editor.state.sliceDoc(main.from, main.to),
      from: isAll ? 0 : main.from,
    }
  },
  insert: (name) => {
    editor.dispatch(editor.state.replaceSelection(name))
    editor.focus()
  },
  replace: (text) => {
    editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: text } })
    editor.focus()
  },
  mark: (position) => editor.dispatch({ effects: markError.of(position) }),
  focus: () => editor.focus(),
})
