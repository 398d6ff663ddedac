import prettier from 'eslint-config-prettier';
import a11y from 'eslint-plugin-jsx-a11y';
import hooks from 'eslint-plugin-react-hooks';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['labextension/lib/**', 'labextension/style/index.js'] },
  tseslint.configs.strictTypeChecked,
  a11y.flatConfigs.recommended,
  prettier,
  {
    languageOptions: {
      parserOptions: { project: ['./tsconfig.json', './tests/frontend/tsconfig.json'] }
    },
    plugins: { 'react-hooks': hooks },
    rules: {
      ...hooks.configs.recommended.rules,
      '@typescript-eslint/consistent-type-imports': 'error',
      // Lab's own way: a token and its interface share a name, commands a namespace.
      '@typescript-eslint/no-namespace': 'off',
      '@typescript-eslint/no-redeclare': 'off',
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: true }
      ],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true }
      ],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-invalid-void-type': 'off',
      // `signal.connect(this._onEvent, this)` is how Lumino binds.
      '@typescript-eslint/unbound-method': 'off',
      // A list stays a list for screen readers although its bullets are styled away.
      'jsx-a11y/no-redundant-roles': 'off',
      // A card is focusable, and has keys; what it does is in its buttons and its menu as well.
      'jsx-a11y/no-noninteractive-element-interactions': 'off',
      'jsx-a11y/no-noninteractive-tabindex': 'off',
      'jsx-a11y/no-static-element-interactions': 'off'
    }
  },
  {
    // Only one module sends requests.
    files: ['labextension/src/**'],
    ignores: ['labextension/src/api.ts'],
    rules: {
      'no-restricted-globals': ['error', 'fetch', 'XMLHttpRequest', 'EventSource'],
      'no-restricted-properties': [
        'error',
        { object: 'ServerConnection', property: 'makeRequest' }
      ]
    }
  },
  {
    files: ['labextension/src/{model,changes,format}.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        { paths: ['react', 'react-dom'], patterns: ['./components/*'] }
      ],
      'no-restricted-globals': ['error', 'document', 'window', 'fetch']
    }
  }
);
